import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** proto-loader compiles to protobufjs functions; numbers instead of Long objects and enum numbers are its fastest form. */
const definition = loadSync(fileURLToPath(new URL("../../proto/bench.proto", import.meta.url)), { longs: Number });

// biome-ignore lint/suspicious/noExplicitAny: grpc-js builds this class at run time and has no type for it
export const OrderService: any = (grpc.loadPackageDefinition(definition).bench as grpc.GrpcObject).OrderService;

/** Room for the 1 MiB echo; everything else is grpc-js's default. */
export const channelOptions = { "grpc.max_receive_message_length": 8 << 20 };
