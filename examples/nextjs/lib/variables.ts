/** A variable of the environment; an error that names it where it is missing. */
export function variable(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: copy .env.example to .env.local and fill it in`);
  return value;
}
