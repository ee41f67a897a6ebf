import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcError } from "../../../../errors/index.ts";
import { readConnectGet } from "./get.ts";

function messageOf(target: string): string {
  const request = readConnectGet(target);
  assert(request instanceof RpcError);
  return request.message;
}

test("a GET that is no call says which query parameter is missing or wrong", () => {
  assert.equal(messageOf("/a.B/C"), 'query parameter encoding is missing, expected "json" or "proto"');
  assert.equal(messageOf("/a.B/C?encoding=xml"), 'query parameter encoding is "xml", expected "json" or "proto"');
  assert.equal(messageOf("/a.B/C?encoding=json"), "query parameter message is missing");
  assert.equal(messageOf("/a.B/C?encoding=json&message=%25&base64=1"), "query parameter message is not valid base64");
  assert.equal(messageOf("/a.B/C?connect=v2"), 'query parameter connect is "v2", expected "v1"');
});

test("the message is text, or base64 of either alphabet", () => {
  for (const query of ["encoding=json&message=%7B%7D", "encoding=json&message=e30&base64=1&connect=v1"]) {
    const request = readConnectGet(`/a.B/C?${query}`);
    assert(!(request instanceof RpcError));
    assert.equal(request.message.toString(), "{}");
    assert.equal(request.codec, "json");
  }
});
