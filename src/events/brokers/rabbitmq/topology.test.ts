import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inequivalentArgument, queueArguments, requireVersion } from "./topology.ts";

describe("queues", () => {
  it("are quorum queues that drop nothing, with what the version needs for it", () => {
    const wish = { type: "quorum", isSingleActive: false, dead: "q.dead" } as const;
    assert.deepEqual(queueArguments(wish, "3.10.8"), {
      "x-queue-type": "quorum",
      "x-dead-letter-exchange": "q.dead",
      "x-dead-letter-strategy": "at-least-once",
      "x-overflow": "reject-publish",
    });
    assert.equal(queueArguments(wish, "4.1.0")["x-delivery-limit"], -1);
  });

  it("have no arguments at all when they are classic, as the guide declares them", () => {
    assert.deepEqual(queueArguments({ type: "classic", isSingleActive: false, dead: "q.dead" }, "4.1.0"), {});
  });

  it("are described by refusals of other declarations", () => {
    const said = (text: string) => inequivalentArgument(`PRECONDITION_FAILED - inequivalent arg ${text}`);
    const of = "for queue 'q' in vhost '/': received";
    assert.deepEqual(said(`'x-queue-type' ${of} none but current is the value 'quorum' of type 'longstr'`), {
      name: "x-queue-type",
      current: "quorum",
    });
    assert.deepEqual(said(`'x-message-ttl' ${of} none but current is the value '5000' of type 'signedint'`), {
      name: "x-message-ttl",
      current: 5_000,
    });
    assert.deepEqual(said(`'x-single-active-consumer' ${of} the value 'true' of type 'bool' but current is none`), {
      name: "x-single-active-consumer",
      current: "none",
    });
    assert.equal(inequivalentArgument("NOT_FOUND - no queue 'q'"), undefined);
  });

  it("need a broker that dead-letters at least once", () => {
    for (const version of ["3.10.0", "3.13.7", "4.0.0"]) requireVersion(version);
    for (const version of ["3.9.29", "2.8.4", "?"]) assert.throws(() => requireVersion(version), /too old.*3\.10/);
  });
});
