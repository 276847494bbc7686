// What goes wrong with a call: the service's problem document, or no answer at all.
import type { FaultAnswer, Problem as ProblemDocument } from "./schema.js";

/** A call that has failed. `tries` says how often it was sent. */
export class Failure extends Error {
  tries = 1;
  /** Seconds, from Retry-After. */
  retryAfter: number | undefined;
}

/** The service cannot be reached, or its answer did not come in time; whether the call was done is not known. */
export class NoAnswer extends Failure {
  override name = "NoAnswer";
}

/**
 * An error of the service (RFC 9457), or of a proxy before it, which has neither `code` nor `requestId`.
 *
 * `code` says why, and docs/api.md lists them; decide by it, and by `status` where it is undefined or a new one. `errors`,
 * of a 422, are the places that cannot be used.
 */
export class Problem extends Failure {
  override name = "Problem";
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly code: string | undefined;
  readonly errors: FaultAnswer[];
  readonly requestId: string | undefined;

  constructor(response: Response, document: Partial<ProblemDocument>) {
    const { code, detail = "", errors = [], title = response.statusText } = document;
    const requestId = response.headers.get("X-Request-Id") ?? undefined;
    const words = [String(response.status), code, `${title}.`, detail, requestId && `(request ${requestId})`];
    super(words.filter(Boolean).join(" "));
    this.status = response.status;
    this.title = title;
    this.detail = detail;
    this.code = code;
    this.errors = errors;
    this.requestId = requestId;
    this.retryAfter = seconds(response.headers.get("Retry-After"));
  }
}

/** The problem of an answer whose body is `text`; that of a proxy may be a page. */
export function problemOf(response: Response, text: string): Problem {
  if (response.ok) return new Problem(response, { title: "Not an answer of clerk-backboard-sync" });
  try {
    const document: unknown = JSON.parse(text);
    return new Problem(response, typeof document === "object" && document !== null ? document : {});
  } catch {
    return new Problem(response, {});
  }
}

/** The service sends whole seconds; a proxy may send a date, which is left to the waits of our own. */
function seconds(text: string | null): number | undefined {
  return text !== null && /^\d+$/.test(text) ? Number(text) : undefined;
}
