import assert from "node:assert/strict";
import { test } from "node:test";
import { Effect, nextStreamState, StreamInput, StreamState, streamEffect } from "./stream-state.ts";

const states = Object.entries(StreamState);
const inputs = Object.entries(StreamInput);

test("every state has a cell for every input", () => {
  for (const [stateName, state] of states) {
    for (const [inputName, input] of inputs) {
      const where = `${stateName} × ${inputName}`;
      assert.ok(Object.values(Effect).includes(streamEffect(state, input) as never), where);
      assert.ok(Object.values(StreamState).includes(nextStreamState(state, input) as never), where);
    }
  }
});

test("a stream never returns to an earlier state, and closed is final", () => {
  for (const [stateName, state] of states) {
    for (const [inputName, input] of inputs) {
      const next = nextStreamState(state, input);
      assert.ok(next >= state, `${stateName} × ${inputName}`);
      if (state === StreamState.closed) assert.equal(next, StreamState.closed);
    }
  }
});

test("what is refused changes nothing, except that a stream error closes", () => {
  for (const [, state] of states) {
    for (const [, input] of inputs) {
      const effect = streamEffect(state, input);
      if (effect === Effect.accept) continue;
      const expected = effect === Effect.streamClosed ? StreamState.closed : state;
      assert.equal(nextStreamState(state, input), expected);
    }
  }
});

test("an idle stream takes HEADERS only", () => {
  const refused = [StreamInput.receiveData, StreamInput.receiveReset, StreamInput.receiveWindowUpdate];
  for (const input of refused) {
    assert.equal(streamEffect(StreamState.idle, input), Effect.connectionProtocolError);
  }
});

test("both orders of the two ends close the stream", () => {
  for (const order of [
    [StreamInput.receiveEnd, StreamInput.sendEnd],
    [StreamInput.sendEnd, StreamInput.receiveEnd],
  ]) {
    const end = order.reduce((state, input) => nextStreamState(state, input), StreamState.open as number);
    assert.equal(end, StreamState.closed);
  }
});
