// A payer that takes webhooks: pays each grant once, and answers repeats as it answered the first.
//
//     PAYER_SECRETS=whsec_… PAYER_BOOK=payments.jsonl node payer.mts 8090
//
// Only Node's standard library is needed (22.18 or later runs TypeScript as it is; 22.6 or later with
// --experimental-strip-types). The book is a file with a line for each payment, written and synced before
// the answer; yours is a database with a unique key on the grant.

import { createHmac, timingSafeEqual } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

// Messages further away from our clock may be old ones that somebody recorded.
const SECONDS_APART_MAX = 300;
const BODY_BYTES_MAX = 64 * 1024;

interface GrantEvent {
  id: string;
  type: string;
  subject: string;
  data: { kind: string; code: string; amount: number };
}

const secrets = (process.env.PAYER_SECRETS ?? "")
  .split(",")
  .map((text) => Buffer.from(text.replace(/^whsec_/, ""), "base64"));
if (secrets.some((secret) => secret.length === 0)) throw new Error("PAYER_SECRETS is whsec_ and base64");

const path = process.env.PAYER_BOOK ?? "payments.jsonl";
const paid = new Set<string>();
if (existsSync(path)) {
  const book = readFileSync(path);
  // A line without an end was cut off by a crash, before its message was answered: it comes again.
  const whole = book.lastIndexOf("\n") + 1;
  truncateSync(path, whole);
  const lines = book.subarray(0, whole).toString("utf8").split("\n");
  for (const line of lines.filter(Boolean)) paid.add(JSON.parse(line).grant);
}

/** Pays a grant unless it was paid. It is answered only once it is on the disk. */
function pay(event: GrantEvent): void {
  if (paid.has(event.id)) return;
  const { kind, code, amount } = event.data;
  const book = openSync(path, "a", 0o600);
  try {
    writeSync(book, JSON.stringify({ grant: event.id, user: event.subject, kind, code, amount }) + "\n");
    fsyncSync(book);
  } finally {
    closeSync(book);
  }
  paid.add(event.id);
}

/** Whether Plaudit sent this, now. */
function verified(headers: IncomingHttpHeaders, body: Buffer): boolean {
  const header = (name: string) => String(headers[name] ?? "");
  const timestamp = header("webhook-timestamp");
  const apart = Math.abs(Date.now() / 1000 - Number(timestamp));
  if (!/^\d+$/.test(timestamp) || apart > SECONDS_APART_MAX) return false;
  const given = header("webhook-signature").split(" ").map((text) => Buffer.from(text));
  return secrets.some((secret) => {
    const mac = createHmac("sha256", secret).update(`${header("webhook-id")}.${timestamp}.`).update(body);
    const wanted = Buffer.from("v1," + mac.digest("base64"));
    return given.some((one) => one.length === wanted.length && timingSafeEqual(one, wanted));
  });
}

const server = createServer((request, response) => {
  const answer = (status: number) => response.writeHead(status).end();
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
  });
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    if (bytes > BODY_BYTES_MAX) return answer(413);
    if (request.method !== "POST" || !verified(request.headers, body)) return answer(401);
    try {
      const event = JSON.parse(body.toString("utf8")) as GrantEvent;
      // Other types are for others, or for a test: take them, and pay nothing.
      if (event.type === "plaudit.reward.granted") pay(event);
      answer(204);
    } catch (error) {
      console.error(error);
      answer(500);
    }
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(`http://127.0.0.1:${port}/`);
});
