/** The server that the REST route is measured on, called in another way. */
import "../trunkline/server.ts";
