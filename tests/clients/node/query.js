// Connects by the string in CONNECTION (and the CA in AUTHORITY, when given) and prints 41 + 1 and the TLS version.
const fs = require("node:fs");
const { Client } = require("pg");

const ssl = process.env.AUTHORITY ? { ca: fs.readFileSync(process.env.AUTHORITY, "utf8") } : undefined;
const config = { connectionString: process.env.CONNECTION, enableChannelBinding: true, ...(ssl ? { ssl } : {}) };

(async () => {
  const client = new Client(config);
  await client.connect();
  const { rows } = await client.query(
    "select 41 + 1 as answer, version from pg_stat_ssl where pid = pg_backend_pid()",
  );
  console.log(JSON.stringify(rows[0]));
  await client.end();
})().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
