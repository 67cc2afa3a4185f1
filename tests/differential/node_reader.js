// SPDX-License-Identifier: Apache-2.0
// Says how Node's HTTP/1 parser reads the bytes of connections: see the README
// beside this file. Only its public interface is used: connections that are
// streams of our own, given to a server ("connection") or to a client
// (createConnection).
"use strict";

const http = require("http");
const { Duplex } = require("stream");
const { once } = require("events");

const AT_ONCE = 64;
const METHODS = { g: "GET", h: "HEAD", c: "CONNECT" };
const LIMITS = { maxHeaderSize: 1 << 20, insecureHTTPParser: false };

// What is written to it is lost; what is pushed is read.
class Wire extends Duplex {
    constructor() {
        super({ allowHalfOpen: true });
        this.messages = [];
        this.refused = "";
    }
    _read() {}
    _write(chunk, encoding, done) { done(); }
    setTimeout() { return this; }
    setNoDelay() { return this; }
    setKeepAlive() { return this; }
    ref() { return this; }
    unref() { return this; }

    refuse(error) {
        // The end came too early: that is no refusal.
        if (!/EOF|ECONNRESET/.test(error.code))
            this.refused ||= error.code || error.message;
    }
}

function pairs(raw) {
    const out = [];
    for (let i = 0; i < raw.length; i += 2)
        out.push([raw[i], raw[i + 1]]);
    return out;
}

function note(wire, start, message) {
    const noted = { start, fields: pairs(message.rawHeaders), body: "", end: "partial" };
    wire.messages.push(noted);
    return noted;
}

function noteBody(wire, noted, message, ended) {
    message.on("data", (data) => { noted.body += data.toString("latin1"); });
    message.on("error", () => {});
    message.on("end", () => {
        if (message.complete) {
            noted.end = "complete";
            noted.trailers = pairs(message.rawTrailers);
        }
        ended();
    });
}

function server() {
    const s = http.createServer({ ...LIMITS, requireHostHeader: false });
    const serve = (request, response) => {
        const options = request.headers.connection || "";
        // What comes behind a request for an upgrade is dropped.
        request.socket.stopped = "upgrade" in request.headers && /upgrade/i.test(options);
        const noted = note(request.socket, [request.method, request.url], request);
        noteBody(request.socket, noted, request, () => response.end());
    };
    s.maxHeadersCount = 0;
    s.on("request", serve);
    s.on("checkContinue", serve);
    s.on("checkExpectation", serve);
    s.on("connect", (request, wire) => {
        note(wire, [request.method, request.url], request).end = "complete";
        wire.stopped = true;
    });
    s.on("clientError", (error, wire) => wire.refuse(error));
    return s;
}

function ask(wire, method) {
    const request = http.request({
        ...LIMITS, method, host: "test", path: method === "CONNECT" ? "test:1" : "/",
        headers: { Connection: "upgrade", Upgrade: "websocket" },
        createConnection: () => wire,
    });
    const bodiless = (message) => {
        note(wire, [message.statusCode], message).end = "complete";
    };
    request.on("information", (message) => {
        wire.messages.push({
            start: [message.statusCode], fields: pairs(message.rawHeaders),
            body: "", end: "complete",
        });
    });
    request.on("upgrade", bodiless);
    request.on("connect", bodiless);
    request.on("response", (message) => {
        noteBody(wire, note(wire, [message.statusCode], message), message, () => {});
    });
    request.on("error", (error) => wire.refuse(error));
    request.end();
}

const turn = () => new Promise(setImmediate);
const front = server();

async function read(kind, bytes) {
    const wire = new Wire();
    wire.on("error", () => {});
    if (kind === "q")
        front.emit("connection", wire);
    else
        ask(wire, METHODS[kind]);
    await turn();
    if (bytes.length)
        wire.push(bytes);
    await turn();
    await turn();
    wire.push(null);
    await turn();
    await turn();
    wire.destroy();
    // Of a request for an upgrade it does not say what it refuses.
    for (const message of wire.messages)
        if ((wire.refused || wire.stopped) && message.end === "partial")
            message.end = "refused";
    return JSON.stringify({
        messages: wire.messages, stopped: Boolean(wire.stopped), why: wire.refused,
    });
}

async function* cases() {
    let kept = Buffer.alloc(0);
    for await (const data of process.stdin) {
        kept = Buffer.concat([kept, data]);
        while (kept.length >= 5) {
            const length = kept.readUInt32BE(1);
            if (kept.length < 5 + length)
                break;
            yield [String.fromCharCode(kept[0]), kept.subarray(5, 5 + length)];
            kept = kept.subarray(5 + length);
        }
    }
}

async function write(readings) {
    const lines = (await Promise.all(readings)).join("\n") + "\n";
    if (!process.stdout.write(lines))
        await once(process.stdout, "drain");
}

async function main() {
    let batch = [];
    for await (const [kind, bytes] of cases()) {
        batch.push(read(kind, bytes));
        if (batch.length < AT_ONCE)
            continue;
        await write(batch);
        batch = [];
    }
    if (batch.length)
        await write(batch);
    process.exit(0);
}

main();
