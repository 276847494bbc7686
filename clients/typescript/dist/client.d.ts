import { type Retries } from "./retries.js";
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
/**
 * The service at an address, asked with a token.
 *
 * A call rejects with Problem, or NoAnswer, when its retries are used up; a TypeError is a mistake in its arguments.
 */
export declare class Client {
    #private;
    constructor({ url, token, timeout, retries, fetch }: ClientOptions);
    /** Make sure of a user, their row and their assistant; a session token's own user needs no id. */
    ensureUser(user?: Partial<api.EnsureUserRequest>, options?: CallOptions): Promise<api.EnsuredUser>;
    /** Read a user; nothing is made. */
    getUser(clerkId: string, options?: CallOptions): Promise<api.EnsuredUser>;
    getStats(clerkId: string, options?: CallOptions): Promise<api.StatsAnswer>;
    getPreferences(clerkId: string, options?: CallOptions): Promise<api.Preferences>;
    replacePreferences(clerkId: string, body: api.Preferences, options?: CallOptions): Promise<api.Preferences>;
    /** Replace the members that are named, and nothing inside them. */
    mergePreferences(clerkId: string, body: api.Preferences, options?: CallOptions): Promise<api.Preferences>;
    /** Open a session. */
    openSession(clerkId: string, body?: api.OpenSessionRequest, { idempotencyKey, signal }?: OpenSessionOptions): Promise<api.SessionAnswer>;
    /** List or search sessions, newest activity first. */
    listSessions(clerkId: string, page?: Query<"listSessions">, options?: CallOptions): Promise<api.SessionPage>;
    /** Search them without the text in an address, which proxies log. */
    searchSessions(clerkId: string, body: api.SearchSessionsRequest, options?: CallOptions): Promise<api.SessionPage>;
    getSession(sessionId: string, options?: CallOptions): Promise<api.SessionAnswer>;
    changeSession(sessionId: string, body: api.ChangeSessionRequest, options?: CallOptions): Promise<api.SessionAnswer>;
    /** Delete a session with its messages and its thread. */
    deleteSession(sessionId: string, options?: CallOptions): Promise<void>;
    /** Read the last messages, or those before a page; oldest first. */
    listMessages(sessionId: string, page?: Query<"listMessages">, options?: CallOptions): Promise<api.MessagePage>;
    /** Add a message; give it an `id` if it is to be repeated by a later call too. */
    addMessage(sessionId: string, message: api.MessageRequest, options?: CallOptions): Promise<api.MessageAnswer>;
    /** Add several messages, all or nothing. */
    addMessages(sessionId: string, batch: api.BatchRequest, options?: CallOptions): Promise<api.MessageList>;
    /** Set members of its metadata; one that is null is taken out. */
    changeMessage(sessionId: string, messageId: string, body: api.ChangeMessageRequest, options?: CallOptions): Promise<api.MessageAnswer>;
    deleteMessage(sessionId: string, messageId: string, options?: CallOptions): Promise<void>;
    listScenarios(page?: Query<"listScenarios">, options?: CallOptions): Promise<api.ScenarioPage>;
    getScenario(slug: string, options?: CallOptions): Promise<api.ScenarioAnswer>;
    /** Make a scenario, or replace the whole of it. */
    putScenario(slug: string, body: api.ScenarioRequest, options?: CallOptions): Promise<api.ScenarioAnswer>;
    deleteScenario(slug: string, options?: CallOptions): Promise<void>;
}
export {};
