export { Client } from "./client.js";
export { Failure, NoAnswer, Problem } from "./problems.js";
