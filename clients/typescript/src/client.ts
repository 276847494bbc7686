// The client: a method for each operation of the service.
import { Failure, NoAnswer, Problem, problemOf } from "./problems.js";
import { bearer, checkedUrl, path, query, withId } from "./requests.js";
import { Attempts, DEFAULT_RETRIES, type Retries, sleep } from "./retries.js";
import type * as api from "./schema.js";

type Query<Name extends keyof api.operations> = NonNullable<api.operations[Name]["parameters"]["query"]>;

export interface ClientOptions {
  /** Of the service: https://host, without a path. */
  url: string;
  /** One of its SERVICE_TOKENS, or a function that gets a session token, asked before each try. */
  token: string | (() => string | Promise<string>);
  /** Milliseconds for one try, its answer included; the service takes 12.5 s at most. */
  timeout?: number;
  retries?: Partial<Retries>;
  fetch?: typeof globalThis.fetch;
}

export interface CallOptions {
  /** Ends the call and its waits; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

export interface OpenSessionOptions extends CallOptions {
  /** The session of an earlier call with this key is opened again. */
  idempotencyKey?: string | undefined;
}

interface Call extends OpenSessionOptions {
  body?: unknown;
}

// Of a DELETE that is sent again: its first answer was lost, and it was done.
const GONE = new Set<string | undefined>(["missing", "message_missing", "scenario_missing"]);

/**
 * The service at an address, asked with a token.
 *
 * A call rejects with Problem, or NoAnswer, when its retries are used up; a TypeError is a mistake in its arguments.
 */
export class Client {
  readonly #url: string;
  readonly #token: () => string | Promise<string>;
  readonly #timeout: number;
  readonly #retries: Retries;
  readonly #fetch: typeof globalThis.fetch;

  constructor({ url, token, timeout = 15_000, retries = {}, fetch = globalThis.fetch }: ClientOptions) {
    this.#url = checkedUrl(url);
    this.#token = typeof token === "string" ? () => token : token;
    this.#timeout = timeout;
    this.#retries = { ...DEFAULT_RETRIES, ...retries };
    this.#fetch = (...call) => fetch(...call);
  }

  /** Make sure of a user, their row and their assistant; a session token's own user needs no id. */
  ensureUser(user: Partial<api.EnsureUserRequest> = {}, options?: CallOptions): Promise<api.EnsuredUser> {
    return this.#call("POST", path("ensure-user"), { ...options, body: user });
  }

  /** Read a user; nothing is made. */
  getUser(clerkId: string, options?: CallOptions): Promise<api.EnsuredUser> {
    return this.#call("GET", path("users", clerkId), options);
  }

  getStats(clerkId: string, options?: CallOptions): Promise<api.StatsAnswer> {
    return this.#call("GET", path("users", clerkId, "stats"), options);
  }

  getPreferences(clerkId: string, options?: CallOptions): Promise<api.Preferences> {
    return this.#call("GET", path("users", clerkId, "preferences"), options);
  }

  replacePreferences(clerkId: string, body: api.Preferences, options?: CallOptions): Promise<api.Preferences> {
    return this.#call("PUT", path("users", clerkId, "preferences"), { ...options, body });
  }

  /** Replace the members that are named, and nothing inside them. */
  mergePreferences(clerkId: string, body: api.Preferences, options?: CallOptions): Promise<api.Preferences> {
    return this.#call("PATCH", path("users", clerkId, "preferences"), { ...options, body });
  }

  /** Open a session. */
  openSession(
    clerkId: string,
    body: api.OpenSessionRequest = {},
    { idempotencyKey = crypto.randomUUID(), signal }: OpenSessionOptions = {},
  ): Promise<api.SessionAnswer> {
    return this.#call("POST", path("users", clerkId, "sessions"), { body, idempotencyKey, signal });
  }

  /** List or search sessions, newest activity first. */
  listSessions(clerkId: string, page?: Query<"listSessions">, options?: CallOptions): Promise<api.SessionPage> {
    return this.#call("GET", path("users", clerkId, "sessions") + query(page), options);
  }

  /** Search them without the text in an address, which proxies log. */
  searchSessions(
    clerkId: string,
    body: api.SearchSessionsRequest,
    options?: CallOptions,
  ): Promise<api.SessionPage> {
    return this.#call("POST", path("users", clerkId, "sessions", "search"), { ...options, body });
  }

  getSession(sessionId: string, options?: CallOptions): Promise<api.SessionAnswer> {
    return this.#call("GET", path("sessions", sessionId), options);
  }

  changeSession(
    sessionId: string,
    body: api.ChangeSessionRequest,
    options?: CallOptions,
  ): Promise<api.SessionAnswer> {
    return this.#call("PATCH", path("sessions", sessionId), { ...options, body });
  }

  /** Delete a session with its messages and its thread. */
  deleteSession(sessionId: string, options?: CallOptions): Promise<void> {
    return this.#delete(path("sessions", sessionId), options);
  }

  /** Read the last messages, or those before a page; oldest first. */
  listMessages(sessionId: string, page?: Query<"listMessages">, options?: CallOptions): Promise<api.MessagePage> {
    return this.#call("GET", path("sessions", sessionId, "messages") + query(page), options);
  }

  /** Add a message; give it an `id` if it is to be repeated by a later call too. */
  addMessage(sessionId: string, message: api.MessageRequest, options?: CallOptions): Promise<api.MessageAnswer> {
    return this.#call("POST", path("sessions", sessionId, "messages"), { ...options, body: withId(message) });
  }

  /** Add several messages, all or nothing. */
  addMessages(sessionId: string, batch: api.BatchRequest, options?: CallOptions): Promise<api.MessageList> {
    const body = { messages: batch.messages.map(withId) };
    return this.#call("POST", path("sessions", sessionId, "messages", "batch"), { ...options, body });
  }

  /** Set members of its metadata; one that is null is taken out. */
  changeMessage(
    sessionId: string,
    messageId: string,
    body: api.ChangeMessageRequest,
    options?: CallOptions,
  ): Promise<api.MessageAnswer> {
    return this.#call("PATCH", path("sessions", sessionId, "messages", messageId), { ...options, body });
  }

  deleteMessage(sessionId: string, messageId: string, options?: CallOptions): Promise<void> {
    return this.#delete(path("sessions", sessionId, "messages", messageId), options);
  }

  listScenarios(page?: Query<"listScenarios">, options?: CallOptions): Promise<api.ScenarioPage> {
    return this.#call("GET", path("scenarios") + query(page), options);
  }

  getScenario(slug: string, options?: CallOptions): Promise<api.ScenarioAnswer> {
    return this.#call("GET", path("scenarios", slug), options);
  }

  /** Make a scenario, or replace the whole of it. */
  putScenario(slug: string, body: api.ScenarioRequest, options?: CallOptions): Promise<api.ScenarioAnswer> {
    return this.#call("PUT", path("scenarios", slug), { ...options, body });
  }

  deleteScenario(slug: string, options?: CallOptions): Promise<void> {
    return this.#delete(path("scenarios", slug), options);
  }

  async #delete(where: string, options?: CallOptions): Promise<void> {
    try {
      await this.#call("DELETE", where, options);
    } catch (error) {
      if (!(error instanceof Problem) || error.tries === 1 || !GONE.has(error.code)) throw error;
    }
  }

  /** Send a request until it is answered; its answer is of the type that the document gives it. */
  async #call<Answer>(method: string, where: string, call: Call = {}): Promise<Answer> {
    const attempts = new Attempts(this.#retries);
    for (;;) {
      call.signal?.throwIfAborted();
      const token = bearer(await this.#token());
      try {
        return (await this.#try(method, where, token, call)) as Answer;
      } catch (error) {
        call.signal?.throwIfAborted();
        if (!(error instanceof Failure)) throw error;
        await sleep(attempts.waitAfter(error), call.signal);
      }
    }
  }

  async #try(method: string, where: string, authorization: string, call: Call): Promise<unknown> {
    const headers = new Headers({ Authorization: authorization });
    if (call.body !== undefined) headers.set("Content-Type", "application/json");
    if (call.idempotencyKey !== undefined) headers.set("Idempotency-Key", call.idempotencyKey);
    const deadline = AbortSignal.timeout(this.#timeout);
    const signal = call.signal ? AbortSignal.any([call.signal, deadline]) : deadline;
    const body = call.body === undefined ? null : JSON.stringify(call.body);
    const { response, text } = await this.#answer(where, { method, headers, body, signal });
    if (response.status === 204) return undefined;
    try {
      if (response.ok) return JSON.parse(text);
    } catch {
      // As below: some other program's page.
    }
    throw problemOf(response, text);
  }

  async #answer(where: string, request: RequestInit): Promise<{ response: Response; text: string }> {
    try {
      const response = await this.#fetch(this.#url + where, { ...request, redirect: "manual", cache: "no-store" });
      return { response, text: await response.text() };
    } catch (error) {
      throw new NoAnswer("no answer of the service", { cause: error });
    }
  }
}
