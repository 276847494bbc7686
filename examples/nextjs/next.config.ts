import { resolve } from "node:path";
import type { NextConfig } from "next";

// clients/typescript stands beside the example, outside its folder. Delete this with the package installed from elsewhere.
const root = resolve(import.meta.dirname, "../..");

const config: NextConfig = { turbopack: { root }, outputFileTracingRoot: root, poweredByHeader: false };

export default config;
