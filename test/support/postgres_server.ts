import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

/** A statement and its values: text, bytes of binary ones, or null. */
export interface Statement {
  readonly sql: string;
  readonly values: (string | Buffer | null)[];
}

/** What the server answers to a statement: rows of text, or an error with a code of PostgreSQL. */
export type Answer = { columns: string[]; rows: string[][] } | { code: string; message: string } | undefined;

const NOTHING = { columns: [], rows: [] };

/** Speaks the part of PostgreSQL's protocol 3.0 that a client of one connection uses, and records the statements. */
export class PostgresServer implements AsyncDisposable {
  readonly statements: Statement[] = [];
  private readonly server = createServer((socket) => new Session(socket, this.statements, this.answer));

  private constructor(private readonly answer: (statement: Statement) => Answer) {}

  static async start(answer: (statement: Statement) => Answer): Promise<PostgresServer> {
    const server = new PostgresServer(answer);
    server.server.listen(0, "127.0.0.1");
    await once(server.server, "listening");
    return server;
  }

  get url(): string {
    return `postgres://me:secret@127.0.0.1:${(this.server.address() as AddressInfo).port}/db`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.close();
  }
}

class Session {
  private received = Buffer.alloc(0);
  private hasStarted = false;
  private statement: Statement = { sql: "", values: [] };
  private hasFailed = false;

  constructor(
    private readonly socket: Socket,
    private readonly statements: Statement[],
    private readonly answer: (statement: Statement) => Answer,
  ) {
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      this.received = Buffer.concat([this.received, data]);
      while (this.readMessage());
    });
  }

  /** Reads one message if it is complete. The first has no type. */
  private readMessage(): boolean {
    const at = this.hasStarted ? 1 : 0;
    if (this.received.length < at + 4) return false;
    const end = at + this.received.readInt32BE(at);
    if (this.received.length < end) return false;
    const type = this.hasStarted ? String.fromCharCode(this.received[0]!) : "";
    const body = this.received.subarray(at + 4, end);
    this.received = this.received.subarray(end);
    if (this.hasStarted) this.handle(type, body);
    else {
      this.hasStarted = true;
      this.send("R", int32(0));
      this.ready();
    }
    return true;
  }

  private handle(type: string, body: Buffer): void {
    const text = (from: number) => body.toString("utf8", from, body.indexOf(0, from));
    if (type === "Q") {
      this.statement = { sql: text(0), values: [] };
      this.execute();
      this.ready();
    } else if (type === "P") {
      const sql = text(body.indexOf(0) + 1);
      this.statement = { sql, values: [] };
      this.send("1");
    } else if (type === "B") {
      this.statement = { ...this.statement, values: boundValues(body) };
      this.send("2");
    } else if (type === "E") this.execute();
    else if (type === "S") {
      this.hasFailed = false;
      this.ready();
    } else if (type === "X") this.socket.end();
  }

  private execute(): void {
    if (this.hasFailed) return;
    this.statements.push(this.statement);
    const answer = this.answer(this.statement) ?? NOTHING;
    if ("code" in answer) {
      this.hasFailed = true;
      this.send("E", fields(["S", "ERROR"], ["V", "ERROR"], ["C", answer.code], ["M", answer.message]));
      return;
    }
    const { columns, rows } = answer;
    const described = columns.map((name) => [
      zero(name),
      int32(0),
      int16(0),
      int32(25),
      int16(-1),
      int32(-1),
      int16(0),
    ]);
    this.send("T", int16(columns.length), ...described.flat());
    for (const row of rows) {
      this.send(
        "D",
        int16(row.length),
        ...row.flatMap((value) => [int32(Buffer.byteLength(value)), Buffer.from(value)]),
      );
    }
    this.send("C", zero("SELECT"));
  }

  private ready(): void {
    this.send("Z", Buffer.from("I"));
  }

  private send(type: string, ...parts: Buffer[]): void {
    const body = Buffer.concat(parts);
    this.socket.write(Buffer.concat([Buffer.from(type), int32(body.length + 4), body]));
  }
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

const zero = (text: string) => Buffer.from(`${text}\0`);

function fields(...pairs: [string, string][]): Buffer {
  return Buffer.concat([...pairs.map(([kind, value]) => zero(kind + value)), Buffer.from([0])]);
}

/** The values of a Bind message: two names, formats, then lengths and bytes. */
function boundValues(body: Buffer): (string | Buffer | null)[] {
  let at = body.indexOf(0, body.indexOf(0) + 1) + 1;
  const next16 = () => {
    at += 2;
    return body.readUInt16BE(at - 2);
  };
  const formats = Array.from({ length: next16() }, next16);
  return Array.from({ length: next16() }, (_, i) => {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) return null;
    const bytes = body.subarray(at, at + length);
    at += length;
    return formats[i] === 1 ? bytes : bytes.toString();
  });
}
