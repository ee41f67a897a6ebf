// The same server speaks both protocols.
import "../connect-node/server.ts";
