import { failAbout } from "../../lib/io/checkpoint_error";
import { unpickle } from "../../lib/io/pytorch/pickle";
import { PickleList, PickleObject, type PickleValue } from "../../lib/io/pytorch/pickle_value";
import { PickledTensor, pytorchDialect } from "../../lib/io/pytorch/pytorch_globals";
import { tensorPickle } from "../support/pytorch_archive";

const fail = failAbout("weights.pt");

function read(pickle: string | Buffer, isScript = false): PickleValue {
  const bytes = typeof pickle === "string" ? Buffer.from(pickle, "latin1") : pickle;
  return unpickle(bytes, pytorchDialect(isScript, fail), fail);
}

const failure = (kind: string, message: RegExp) =>
  expect.objectContaining({
    code: `ERR_EVACLIP_CHECKPOINT_${kind}`,
    message: expect.stringMatching(message),
  });

describe("unpickle reads", () => {
  /** The same value, written by Python's pickle.dumps(value, protocol). */
  const written: [number, string][] = [
    [
      2,
      "gAJ9cQAoWAQAAABub25lcQFOWAMAAAB5ZXNxAohYBAAAAGludHNxAyhLAEv/Tf//Sv////+KBQAAAIAAigYAAAAAAP+KCQAA" +
        "AAAAAAAAQIoJAAAAAAAAAADAdHEEWAUAAABmbG9hdHEFRz/4AAAAAAAAWAQAAAB0ZXh0cQZYCgAAAG5hw692ZSDimINxB1gE" +
        "AAAAbGlzdHEIXXEJKEsBXXEKKEsCKWVlWAYAAABzaGFyZWRxC11xDFgFAAAAYWdhaW5xDWFoDIZxDlgHAAAAb3JkZXJlZHEP" +
        "Y2NvbGxlY3Rpb25zCk9yZGVyZWREaWN0CnEQKVJxEVgBAAAAYXESSwFzdS4=",
    ],
    [
      4,
      "gASV0gAAAAAAAAB9lCiMBG5vbmWUTowDeWVzlIiMBGludHOUKEsAS/9N//9K/////4oFAAAAgACKBgAAAAAA/4oJAAAAAAAA" +
        "AABAigkAAAAAAAAAAMB0lIwFZmxvYXSURz/4AAAAAAAAjAR0ZXh0lIwKbmHDr3ZlIOKYg5SMBGxpc3SUXZQoSwFdlChLAill" +
        "ZYwGc2hhcmVklF2UjAVhZ2FpbpRhaAyGlIwHb3JkZXJlZJSMC2NvbGxlY3Rpb25zlIwLT3JkZXJlZERpY3SUk5QpUpSMAWGU" +
        "SwFzdS4=",
    ],
    [
      5,
      "gAWV0gAAAAAAAAB9lCiMBG5vbmWUTowDeWVzlIiMBGludHOUKEsAS/9N//9K/////4oFAAAAgACKBgAAAAAA/4oJAAAAAAAA" +
        "AABAigkAAAAAAAAAAMB0lIwFZmxvYXSURz/4AAAAAAAAjAR0ZXh0lIwKbmHDr3ZlIOKYg5SMBGxpc3SUXZQoSwFdlChLAill" +
        "ZYwGc2hhcmVklF2UjAVhZ2FpbpRhaAyGlIwHb3JkZXJlZJSMC2NvbGxlY3Rpb25zlIwLT3JkZXJlZERpY3SUk5QpUpSMAWGU" +
        "SwFzdS4=",
    ],
  ];

  test.each(written)("what Python writes in protocol %d", (_, base64) => {
    const value = read(Buffer.from(base64, "base64")) as Map<string, PickleValue>;
    expect(value).toBeInstanceOf(Map);
    const integers = [0, 255, 65535, -1, 2 ** 31, -(2 ** 40), 2n ** 70n, -(2n ** 70n)];
    const expected = { none: null, yes: true, ints: integers, float: 1.5, text: "naïve ☃" };
    for (const [key, item] of Object.entries(expected)) expect(value.get(key)).toEqual(item);
    expect(value.get("list")).toEqual(new PickleList([1, new PickleList([2, []])]));
    const [first, second] = value.get("shared") as PickleValue[];
    expect(first).toEqual(new PickleList(["again"]));
    expect(second).toBe(first);
    expect(value.get("ordered")).toEqual(new Map([["a", 1]]));
  });

  test("sets, bytes and longer lengths of protocols 4 and 5", () => {
    expect(read("\x80\x04\x8f(K\x01K\x02\x90.")).toEqual(new Set([1, 2]));
    expect(read("\x80\x04(K\x01\x91.")).toEqual(new Set([1]));
    expect(Array.from(read("\x80\x04C\x02\x00\xff.") as Uint8Array)).toEqual([0, 255]);
    expect(Array.from(read("\x80\x05\x96\x01\0\0\0\0\0\0\0a.") as Uint8Array)).toEqual([97]);
    expect(read("\x80\x04\x8d\x01\0\0\0\0\0\0\0a.")).toBe("a");
    expect(read("\x80\x02\x8a\x00.")).toBe(0);
  });

  test("objects of data classes by name and attributes, without constructing them", () => {
    const options = read(
      "\x80\x02cargparse\nNamespace\n)\x81}X\x02\0\0\0lrG?\xf0\0\0\0\0\0\0sb.",
    ) as PickleObject;
    expect(options).toBeInstanceOf(PickleObject);
    expect(options.className).toBe("argparse.Namespace");
    expect(options.attributes).toEqual(new Map([["lr", 1]]));
    const score = "\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0f8\x85RC\x01a\x86R.";
    expect((read(score) as PickleObject).className).toBe("numpy.core.multiarray.scalar");
  });

  test("a tensor as a view of a storage", () => {
    const tensor = (read(tensorPickle(3, [2, 2], [5, 1])) as Map<string, PickledTensor>).get("weight")!;
    expect(tensor).toBeInstanceOf(PickledTensor);
    expect(tensor).toMatchObject({ begin: 3, shape: [2, 2], strides: [5, 1], typeName: "torch.ByteStorage" });
    expect(tensor.storage).toMatchObject({ key: "0", elements: 16 });
  });
});

describe("unpickle refuses, with nothing run,", () => {
  const command = "X\x02\0\0\0id\x85";
  test.each<[string, string, RegExp]>([
    [
      "a call by GLOBAL",
      `cposix\nsystem\n${command}R.`,
      /weights\.pt asks for posix\.system, .* nothing was run/,
    ],
    ["a call by STACK_GLOBAL", `X\x05\0\0\0posixX\x06\0\0\0system\x93${command}R.`, /posix\.system/],
    ["a call by INST", `(X\x02\0\0\0idios\nsystem\n.`, /asks for os\.system/],
    ["INST of an allowed class", "(icollections\nOrderedDict\n.", /asks to call collections\.OrderedDict/],
    ["a call by OBJ", `(csubprocess\nPopen\nX\x02\0\0\0ido.`, /subprocess\.Popen/],
    ["a call by NEWOBJ", "csubprocess\nPopen\n)\x81.", /subprocess\.Popen/],
    ["a call by NEWOBJ_EX", "csubprocess\nPopen\n)}\x92.", /subprocess\.Popen/],
    [
      "a call through the memo",
      `}q\0X\x01\0\0\0acbuiltins\neval\nq\x010h\x01${command}Rs.`,
      /builtins\.eval/,
    ],
    ["a global that is never called", "c__builtin__\nexec\n0}.", /__builtin__\.exec/],
    ["loading another file", "ctorch\nload\nX\x01\0\0\0a\x85R.", /torch\.load/],
    ["reaching for attributes", "cbuiltins\ngetattr\n.", /builtins\.getattr/],
    [
      "a way round by a dotted name",
      "X\x05\0\0\0torchX\x10\0\0\0Size.__class__.x\x93.",
      /torch\.Size\.__class__/,
    ],
    ["a TorchScript class outside TorchScript", "c__torch__.Model\nClip\n)\x81.", /__torch__\.Model\.Clip/],
    ["a whole model", "copen_clip.model\nCLIP\n)\x81}b.", /open_clip\.model\.CLIP.*state_dict\(\)/],
    ["a call of an element type", "ctorch\nfloat32\n)R.", /asks to call torch\.float32/],
    ["a call of a value that is not a class", "X\x01\0\0\0a)R.", /asks to call a value that is not a class/],
    ["state for a list", "]}X\x0c\0\0\0__setstate__Nsb.", /asks to set the state/],
  ])("%s", (_, pickle, message) => {
    expect(() => read(`\x80\x02${pickle}`)).toThrow(failure("UNSAFE", message));
  });
});

describe("unpickle refuses as damaged", () => {
  test.each<[string, string, RegExp]>([
    ["nothing", "", /ends too early: expected 1 more bytes at byte 0, found 0/],
    ["protocol 0", "(dp0\n.", /protocol 0, expected 2 to 5/],
    ["protocol 6", "\x80\x06N.", /protocol 6/],
    [
      "a text longer than the file",
      "\x80\x02X\xff\xff\xff\x7fabc.",
      /expected 2147483647 more bytes at byte 7/,
    ],
    ["a text longer than memory", "\x80\x04\x8d\0\0\0\0\0\0\0\xffabc.", /expected 1837\d+ more bytes/],
    ["a text that is not UTF-8", "\x80\x02X\x02\0\0\0\xff\xfe.", /not UTF-8 at byte 7/],
    ["a global without an end", "\x80\x02ctorch", /ends too early/],
    [
      "an integer of many bytes",
      "\x80\x02\x8b\0\0\x10\0.",
      /an integer of 1048576 bytes, expected at most 1024/,
    ],
    ["a value that was never put", "\x80\x02R.", /pops from an empty stack/],
    ["a value from before the mark", "\x80\x02K\x01(0t.", /pops from an empty stack/],
    ["a mark that was never set", "\x80\x02t.", /pops to a mark it never set/],
    ["a memo that was never stored", "\x80\x02h\x07.", /gets value 7 of its memo/],
    ["an append to a tuple", "\x80\x02)K\x01a.", /appends to a value that is not a list/],
    ["an item of a number", "\x80\x02K\x01K\x02K\x03s.", /not a dictionary/],
    ["a key without a value", "\x80\x02}(K\x01u.", /a key that has no value/],
    ["arguments that are not a tuple", "\x80\x02ctorch\nSize\nNR.", /arguments that are not a tuple/],
    ["an instruction of protocol 1", "\x80\x02I12\n.", /instruction 0x49/],
    ["two values at the end", "\x80\x02NN.", /ends with 2 values and 0 bytes/],
    ["bytes after the end", "\x80\x02N.N", /ends with 1 values and 1 bytes/],
    ["a persistent id of another kind", "\x80\x02X\x01\0\0\0aQ.", /does not describe a storage/],
    [
      "a tensor without a storage",
      "\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\0))tR.",
      /malformed tensor in its pickle/,
    ],
    ["a parameter of nothing", "\x80\x02ctorch._utils\n_rebuild_parameter\nN\x85R.", /not a tensor/],
    [
      "sizes and strides that differ in number",
      tensorPickle(0, [2, 2], [1]),
      /malformed tensor in its pickle/,
    ],
    ["a negative stride", tensorPickle(0, [2], [-1]), /malformed tensor in its pickle/],
    [
      "more dimensions than PyTorch has",
      tensorPickle(0, Array(65).fill(1), Array(65).fill(1)),
      /malformed tensor in its pickle/,
    ],
  ])("%s", (_, pickle, message) => {
    expect(() => read(pickle)).toThrow(failure("CORRUPT", message));
  });

  test("endless values, before they fill the memory", () => {
    expect(() => read(`\x80\x02${"(".repeat(1_100_000)}`)).toThrow(
      failure("CORRUPT", /more than 1000000 instructions/),
    );
  });

  test("nesting without recursion, and cycles", () => {
    const depth = 100_000;
    expect(read(`\x80\x02${"]".repeat(depth)}${"a".repeat(depth - 1)}.`)).toBeInstanceOf(PickleList);
    const cycle = read("\x80\x02]q\0h\0a.") as PickleList;
    expect(cycle.items[0]).toBe(cycle);
  });
});
