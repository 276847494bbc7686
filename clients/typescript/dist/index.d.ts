export { Client, type CallOptions, type ClientOptions, type OpenSessionOptions } from "./client.js";
export { Failure, NoAnswer, Problem } from "./problems.js";
export type { Retries } from "./retries.js";
export type * from "./schema.js";
