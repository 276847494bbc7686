import type { MessageRequest } from "./schema.js";
type Parameters = Record<string, string | number | boolean | readonly string[] | undefined>;
/** The address without a slash at its end; TypeError if it is no http address. */
export declare function checkedUrl(url: string): string;
/** A path of segments; TypeError for one that would lead elsewhere. */
export declare function path(...segments: string[]): string;
/** The value of the header; TypeError, which does not show the token, for one that no header takes. */
export declare function bearer(token: string): string;
/** The message under an id of its own, if it has none, so that it may be sent again. */
export declare function withId(message: MessageRequest): MessageRequest;
/** A query of the parameters that are there; several values of one stand with commas between. */
export declare function query(parameters?: Parameters): string;
export {};
