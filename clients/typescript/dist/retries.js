// When a call is sent again. Every call may be: messages have ids, and sessions are opened under a key.
import { Problem } from "./problems.js";
export const DEFAULT_RETRIES = { tries: 5, seconds: 60, firstWait: 1 };
const PASSING = new Set([408, 429, 502, 503, 504]);
/** The tries of one call. */
export class Attempts {
    #made = 0;
    #retries;
    #end;
    constructor(retries) {
        this.#retries = retries;
        this.#end = performance.now() + retries.seconds * 1000;
    }
    /**
     * Seconds until the next try; throws the failure when there is none.
     *
     * A wait is a quarter longer at most than it has to be, at random, so that callers who failed together do not come
     * back together.
     */
    waitAfter(failure) {
        failure.tries = ++this.#made;
        const { tries, firstWait } = this.#retries;
        if (this.#made >= tries || (failure instanceof Problem && !PASSING.has(failure.status)))
            throw failure;
        const wait = (failure.retryAfter ?? firstWait * 2 ** (this.#made - 1)) * (1 + Math.random() / 4);
        if (performance.now() + wait * 1000 > this.#end)
            throw failure;
        return wait;
    }
}
/** Wait; rejects with the signal's reason when that is aborted. */
export function sleep(seconds, signal) {
    return new Promise((resolve, reject) => {
        const leave = () => {
            clearTimeout(timer);
            reject(signal?.reason);
        };
        const timer = setTimeout(() => {
            signal?.removeEventListener("abort", leave);
            resolve();
        }, seconds * 1000);
        if (signal?.aborted)
            leave();
        else
            signal?.addEventListener("abort", leave, { once: true });
    });
}
