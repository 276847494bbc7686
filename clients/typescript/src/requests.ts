// The parts of a request: the address of the service, paths, ids and the token.
import type { MessageRequest } from "./schema.js";

type Parameters = Record<string, string | number | boolean | readonly string[] | undefined>;

/** The address without a slash at its end; TypeError if it is no http address. */
export function checkedUrl(url: string): string {
  if (!/^https?:$/.test(new URL(url).protocol)) throw new TypeError("the address of the service is http: or https:");
  return url.replace(/\/+$/, "");
}

/** A path of segments; TypeError for one that would lead elsewhere. */
export function path(...segments: string[]): string {
  if (segments.some((segment) => ["", ".", ".."].includes(segment))) {
    throw new TypeError("an id is neither empty nor made of dots");
  }
  return segments.map((segment) => `/${encodeURIComponent(segment)}`).join("");
}

/** The value of the header; TypeError, which does not show the token, for one that no header takes. */
export function bearer(token: string): string {
  if (!/^[!-~]+$/.test(token)) throw new TypeError("the token is empty or has characters that no token has");
  return `Bearer ${token}`;
}

/** The message under an id of its own, if it has none, so that it may be sent again. */
export function withId(message: MessageRequest): MessageRequest {
  return message.id ? message : { ...message, id: crypto.randomUUID() };
}

/** A query of the parameters that are there; several values of one stand with commas between. */
export function query(parameters: Parameters = {}): string {
  const given = Object.entries(parameters).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
