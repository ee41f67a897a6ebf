import type { Schema } from "../../contract/schema/index.ts";

/** The parts of AsyncAPI 3.0.0 that a document uses. */
export interface AsyncApiDocument {
  readonly asyncapi: "3.0.0";
  readonly info: {
    readonly title: string;
    readonly version: string;
    readonly description?: string;
    readonly tags?: readonly Tag[];
  };
  readonly defaultContentType: string;
  readonly servers?: Readonly<Record<string, ServerObject>>;
  readonly channels: Readonly<Record<string, ChannelObject>>;
  readonly operations: Readonly<Record<string, OperationObject>>;
  readonly components: {
    readonly messages: Readonly<Record<string, MessageObject>>;
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly securitySchemes?: Readonly<Record<string, SecuritySchemeObject>>;
  };
}

export interface Reference {
  readonly $ref: string;
}

export interface Tag {
  readonly name: string;
}

export interface ServerObject {
  readonly host: string;
  readonly protocol: string;
  readonly protocolVersion?: string;
  readonly pathname?: string;
  readonly description?: string;
  readonly security?: readonly Reference[];
}

export type SecuritySchemeObject = Readonly<Record<string, string>>;

/** What is said for one protocol only, by its name; each has a schema of its own. */
export type Bindings = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface ChannelObject {
  /** `null`: only known when it runs. */
  readonly address: string | null;
  readonly description: string;
  readonly messages: Readonly<Record<string, Reference>>;
  readonly bindings?: Bindings;
}

export interface OperationObject {
  readonly action: "send" | "receive";
  readonly channel: Reference;
  readonly summary: string;
  readonly description?: string;
  readonly tags?: readonly Tag[];
  readonly messages: readonly Reference[];
  readonly reply?: {
    readonly address: { readonly location: string; readonly description: string };
    readonly channel: Reference;
    readonly messages: readonly Reference[];
  };
  readonly bindings?: Bindings;
}

export interface MessageObject {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly contentType: string;
  readonly headers: Schema;
  /** Absent for a message without a body. */
  readonly payload?: Schema;
  readonly correlationId: { readonly location: string; readonly description: string };
  readonly tags?: readonly Tag[];
  readonly bindings?: Bindings;
  readonly examples?: readonly { readonly headers?: Readonly<Record<string, string>>; readonly payload: unknown }[];
}
