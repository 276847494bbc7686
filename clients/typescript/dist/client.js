// The client: a method for each operation of the service.
import { Failure, NoAnswer, Problem, problemOf } from "./problems.js";
import { bearer, checkedUrl, path, query, withId } from "./requests.js";
import { Attempts, DEFAULT_RETRIES, sleep } from "./retries.js";
// Of a DELETE that is sent again: its first answer was lost, and it was done.
const GONE = new Set(["missing", "message_missing", "scenario_missing"]);
/**
 * The service at an address, asked with a token.
 *
 * A call rejects with Problem, or NoAnswer, when its retries are used up; a TypeError is a mistake in its arguments.
 */
export class Client {
    #url;
    #token;
    #timeout;
    #retries;
    #fetch;
    constructor({ url, token, timeout = 15_000, retries = {}, fetch = globalThis.fetch }) {
        this.#url = checkedUrl(url);
        this.#token = typeof token === "string" ? () => token : token;
        this.#timeout = timeout;
        this.#retries = { ...DEFAULT_RETRIES, ...retries };
        this.#fetch = (...call) => fetch(...call);
    }
    /** Make sure of a user, their row and their assistant; a session token's own user needs no id. */
    ensureUser(user = {}, options) {
        return this.#call("POST", path("ensure-user"), { ...options, body: user });
    }
    /** Read a user; nothing is made. */
    getUser(clerkId, options) {
        return this.#call("GET", path("users", clerkId), options);
    }
    getStats(clerkId, options) {
        return this.#call("GET", path("users", clerkId, "stats"), options);
    }
    getPreferences(clerkId, options) {
        return this.#call("GET", path("users", clerkId, "preferences"), options);
    }
    replacePreferences(clerkId, body, options) {
        return this.#call("PUT", path("users", clerkId, "preferences"), { ...options, body });
    }
    /** Replace the members that are named, and nothing inside them. */
    mergePreferences(clerkId, body, options) {
        return this.#call("PATCH", path("users", clerkId, "preferences"), { ...options, body });
    }
    /** Open a session. */
    openSession(clerkId, body = {}, { idempotencyKey = crypto.randomUUID(), signal } = {}) {
        return this.#call("POST", path("users", clerkId, "sessions"), { body, idempotencyKey, signal });
    }
    /** List or search sessions, newest activity first. */
    listSessions(clerkId, page, options) {
        return this.#call("GET", path("users", clerkId, "sessions") + query(page), options);
    }
    /** Search them without the text in an address, which proxies log. */
    searchSessions(clerkId, body, options) {
        return this.#call("POST", path("users", clerkId, "sessions", "search"), { ...options, body });
    }
    getSession(sessionId, options) {
        return this.#call("GET", path("sessions", sessionId), options);
    }
    changeSession(sessionId, body, options) {
        return this.#call("PATCH", path("sessions", sessionId), { ...options, body });
    }
    /** Delete a session with its messages and its thread. */
    deleteSession(sessionId, options) {
        return this.#delete(path("sessions", sessionId), options);
    }
    /** Read the last messages, or those before a page; oldest first. */
    listMessages(sessionId, page, options) {
        return this.#call("GET", path("sessions", sessionId, "messages") + query(page), options);
    }
    /** Add a message; give it an `id` if it is to be repeated by a later call too. */
    addMessage(sessionId, message, options) {
        return this.#call("POST", path("sessions", sessionId, "messages"), { ...options, body: withId(message) });
    }
    /** Add several messages, all or nothing. */
    addMessages(sessionId, batch, options) {
        const body = { messages: batch.messages.map(withId) };
        return this.#call("POST", path("sessions", sessionId, "messages", "batch"), { ...options, body });
    }
    /** Set members of its metadata; one that is null is taken out. */
    changeMessage(sessionId, messageId, body, options) {
        return this.#call("PATCH", path("sessions", sessionId, "messages", messageId), { ...options, body });
    }
    deleteMessage(sessionId, messageId, options) {
        return this.#delete(path("sessions", sessionId, "messages", messageId), options);
    }
    listScenarios(page, options) {
        return this.#call("GET", path("scenarios") + query(page), options);
    }
    getScenario(slug, options) {
        return this.#call("GET", path("scenarios", slug), options);
    }
    /** Make a scenario, or replace the whole of it. */
    putScenario(slug, body, options) {
        return this.#call("PUT", path("scenarios", slug), { ...options, body });
    }
    deleteScenario(slug, options) {
        return this.#delete(path("scenarios", slug), options);
    }
    async #delete(where, options) {
        try {
            await this.#call("DELETE", where, options);
        }
        catch (error) {
            if (!(error instanceof Problem) || error.tries === 1 || !GONE.has(error.code))
                throw error;
        }
    }
    /** Send a request until it is answered; its answer is of the type that the document gives it. */
    async #call(method, where, call = {}) {
        const attempts = new Attempts(this.#retries);
        for (;;) {
            call.signal?.throwIfAborted();
            const token = bearer(await this.#token());
            try {
                return (await this.#try(method, where, token, call));
            }
            catch (error) {
                call.signal?.throwIfAborted();
                if (!(error instanceof Failure))
                    throw error;
                await sleep(attempts.waitAfter(error), call.signal);
            }
        }
    }
    async #try(method, where, authorization, call) {
        const headers = new Headers({ Authorization: authorization });
        if (call.body !== undefined)
            headers.set("Content-Type", "application/json");
        if (call.idempotencyKey !== undefined)
            headers.set("Idempotency-Key", call.idempotencyKey);
        const deadline = AbortSignal.timeout(this.#timeout);
        const signal = call.signal ? AbortSignal.any([call.signal, deadline]) : deadline;
        const body = call.body === undefined ? null : JSON.stringify(call.body);
        const { response, text } = await this.#answer(where, { method, headers, body, signal });
        if (response.status === 204)
            return undefined;
        try {
            if (response.ok)
                return JSON.parse(text);
        }
        catch {
            // As below: some other program's page.
        }
        throw problemOf(response, text);
    }
    async #answer(where, request) {
        try {
            const response = await this.#fetch(this.#url + where, { ...request, redirect: "manual", cache: "no-store" });
            return { response, text: await response.text() };
        }
        catch (error) {
            throw new NoAnswer("no answer of the service", { cause: error });
        }
    }
}
