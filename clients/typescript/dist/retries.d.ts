import { type Failure } from "./problems.js";
/** At most so many tries of a call, and no wait that would end later than so many seconds after its beginning. */
export interface Retries {
    tries: number;
    seconds: number;
    /** Seconds of the first wait where no Retry-After says it; each further one is twice as long. */
    firstWait: number;
}
export declare const DEFAULT_RETRIES: Retries;
/** The tries of one call. */
export declare class Attempts {
    #private;
    constructor(retries: Retries);
    /**
     * Seconds until the next try; throws the failure when there is none.
     *
     * A wait is a quarter longer at most than it has to be, at random, so that callers who failed together do not come
     * back together.
     */
    waitAfter(failure: Failure): number;
}
/** Wait; rejects with the signal's reason when that is aborted. */
export declare function sleep(seconds: number, signal?: AbortSignal): Promise<void>;
