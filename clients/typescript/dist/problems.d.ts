import type { FaultAnswer, Problem as ProblemDocument } from "./schema.js";
/** A call that has failed. `tries` says how often it was sent. */
export declare class Failure extends Error {
    tries: number;
    /** Seconds, from Retry-After. */
    retryAfter: number | undefined;
}
/** The service cannot be reached, or its answer did not come in time; whether the call was done is not known. */
export declare class NoAnswer extends Failure {
    name: string;
}
/**
 * An error of the service (RFC 9457), or of a proxy before it, which has neither `code` nor `requestId`.
 *
 * `code` says why, and docs/api.md lists them; decide by it, and by `status` where it is undefined or a new one. `errors`,
 * of a 422, are the places that cannot be used.
 */
export declare class Problem extends Failure {
    name: string;
    readonly status: number;
    readonly title: string;
    readonly detail: string;
    readonly code: string | undefined;
    readonly errors: FaultAnswer[];
    readonly requestId: string | undefined;
    constructor(response: Response, document: Partial<ProblemDocument>);
}
/** The problem of an answer whose body is `text`; that of a proxy may be a page. */
export declare function problemOf(response: Response, text: string): Problem;
