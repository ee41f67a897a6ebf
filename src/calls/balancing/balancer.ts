import { type Clock, type Observer, type Random, silentObserver } from "../../platform/index.ts";
import { type BalancedAddress, BalancerEndpoint, type EndpointState, type EndpointView } from "./balancer-endpoint.ts";
import { EndpointLoad } from "./endpoint-load.ts";
import type { EndpointEjected, PanicChanged, PriorityChanged } from "./events.ts";
import {
  type BalancingLimits,
  balancingLimits,
  checkedLimits,
  type EjectionLimits,
  ejectionLimits,
  weightMax,
} from "./limits.ts";
import { Outlier } from "./outlier.ts";
import { type BalancingRule, type Picker, type PickHint, pickers } from "./pickers/index.ts";
import { anotherOf, type Level, levelInUse, levelsOf, mayTakeCalls } from "./priorities.ts";
import { subset } from "./subset.ts";
import { localShareOf, reviewAtMs, splitByZone, type ZoneSplit } from "./zones.ts";

/** How calls are spread over the endpoints of a target. */
export interface BalancingOptions {
  /**
   * `peak_ewma`: where the answer should come first. `least_request`: where fewer calls are under way. `round_robin`,
   * `weighted`: in turn. `ring_hash`: calls with equal keys to the same endpoint.
   * @default "peak_ewma"
   */
  readonly rule?: BalancingRule | undefined;
  /** The zone of this client: endpoints there are preferred as far as they can bear it. @default none */
  readonly zone?: string | undefined;
  /** When an endpoint whose calls fail is left out; `false`: never. */
  readonly ejection?: Partial<EjectionLimits> | false | undefined;
  readonly limits?: Partial<BalancingLimits> | undefined;
}

/** What a {@link Balancer} needs of its surroundings. */
export interface BalancerContext {
  /** For events. */
  readonly target: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer?: Observer | undefined;
}

/**
 * Spreads calls over the endpoints of a target: subset → priority → health and ejection, with panic → zone → rule.
 * Statistics belong to addresses and outlive updates of the list.
 *
 * ```ts
 * const endpoint = balancer.pick();
 * endpoint.load.begun();
 * … balancer.succeeded(endpoint, latencyMs);
 * ```
 */
export class Balancer<T> {
  readonly #context: BalancerContext;
  readonly #observer: Observer;
  readonly #rule: BalancingRule;
  readonly #zone: string | undefined;
  readonly #limits: BalancingLimits;
  readonly #ejection: EjectionLimits | undefined;
  /** Distinguishes this client's subset from those of others. */
  readonly #client: string;
  readonly #endpoints = new Map<string, BalancerEndpoint<T>>();
  #used: readonly BalancerEndpoint<T>[] = [];
  /** Those that are used, by their priority. */
  #levels: readonly Level<BalancerEndpoint<T>>[] = [];
  /** Which of them takes the calls. */
  #level = 0;
  /** When the next call goes to a better level, to see whether it works again. */
  #trialAtMs = 0;
  #trials = 0;
  #local: Picker<BalancerEndpoint<T>> | undefined;
  #remote: Picker<BalancerEndpoint<T>> | undefined;
  #split: ZoneSplit<BalancerEndpoint<T>> = { local: [], remote: [], zones: 1 };
  #localShare = 0;
  /** When the share must be reckoned anew. */
  #reviewAtMs = Number.POSITIVE_INFINITY;
  #isPanicking = false;
  #nextReturnMs = Number.POSITIVE_INFINITY;

  /** @throws RangeError, TypeError naming the option that cannot be */
  constructor(options: BalancingOptions, context: BalancerContext) {
    const { rule = "peak_ewma", zone, ejection, limits } = options;
    if (!Object.hasOwn(pickers, rule)) {
      throw new TypeError(`balancing.rule is "${rule}"; it must be one of ${Object.keys(pickers).join(", ")}`);
    }
    this.#context = context;
    this.#observer = context.observer ?? silentObserver;
    this.#rule = rule;
    this.#zone = zone;
    this.#limits = checkedLimits("balancing.limits", balancingLimits, limits);
    this.#ejection = ejection === false ? undefined : checkedLimits("balancing.ejection", ejectionLimits, ejection);
    this.#client = Buffer.from(context.random.bytes(8)).toString("hex");
  }

  /** Endpoints there are, those outside of this client's subset included. */
  get size(): number {
    return this.#endpoints.size;
  }

  /**
   * Takes the list of addresses. Those that were there keep their statistics; new ones slow-start, unless they are the
   * first; those that are gone are returned, for their owner to drain.
   * @param own makes what the owner keeps beside an endpoint
   */
  update(addresses: readonly BalancedAddress[], own: (key: string) => T): readonly BalancerEndpoint<T>[] {
    const nowMs = this.#context.clock.now();
    const joinedMs = this.#endpoints.size === 0 ? Number.NEGATIVE_INFINITY : nowMs;
    const gone = new Map(this.#endpoints);
    const replaced: BalancerEndpoint<T>[] = [];
    for (const { key, weight = 1, zone, priority = 0, isReady = true, identity } of addresses) {
      let endpoint = this.#endpoints.get(key);
      if (endpoint === undefined || endpoint.identity !== identity) {
        const load = new EndpointLoad(this.#limits, joinedMs);
        const outlier = new Outlier(this.#ejection ?? ejectionLimits);
        const before = endpoint;
        endpoint = new BalancerEndpoint(key, load, outlier, own(key), identity);
        this.#endpoints.set(key, endpoint);
        if (before !== undefined) replaced.push(before);
      }
      endpoint.weight =
        Number.isFinite(weight) && weight > 0 ? Math.min(Math.max(weight, 1 / weightMax), weightMax) : 1;
      endpoint.zone = zone;
      endpoint.priority = priority;
      endpoint.isReady = isReady;
      gone.delete(key);
    }
    for (const key of gone.keys()) this.#endpoints.delete(key);
    this.#levels = levelsOf([...this.#endpoints.values()]).map(level =>
      subset(level, this.#client, this.#limits.subsetMax),
    );
    this.#used = this.#levels.flat();
    this.#level = levelInUse(this.#levels, nowMs);
    this.#refresh(nowMs);
    return [...gone.values(), ...replaced];
  }

  /** The endpoint of an address. */
  get(key: string): BalancerEndpoint<T> | undefined {
    return this.#endpoints.get(key);
  }

  /** So few endpoints are usable that all of them are used. */
  get isPanicking(): boolean {
    return this.#isPanicking;
  }

  /**
   * The endpoint for a call; `undefined` when there is none at all. Hot path: allocates nothing.
   * @param nowMs monotonic time, where it was read already
   */
  pick(
    hint?: PickHint<BalancerEndpoint<T>>,
    nowMs: number = this.#context.clock.now(),
  ): BalancerEndpoint<T> | undefined {
    if (nowMs >= this.#nextReturnMs) this.#refresh(nowMs);
    if (this.#level > 0 && nowMs >= this.#trialAtMs) {
      const trial = this.#tryBetterLevel(hint?.avoid, nowMs);
      if (trial !== undefined) return trial;
    }
    if (nowMs >= this.#reviewAtMs) {
      const trial = this.#review(nowMs, hint?.avoid);
      if (trial !== undefined) return trial;
    }
    const picked = this.#pickInLevel(hint, nowMs);
    if (this.#levels.length === 1 || picked === undefined || picked !== hint?.avoid) return picked;
    return this.#pickBeside(picked, nowMs);
  }

  #pickInLevel(hint: PickHint<BalancerEndpoint<T>> | undefined, nowMs: number): BalancerEndpoint<T> | undefined {
    const local = this.#local;
    return (local !== undefined && this.#staysLocal(hint) ? local : (this.#remote ?? local))?.pick(nowMs, hint);
  }

  /** While a worse priority takes the calls, the endpoints of the better ones are tried in turn. */
  #tryBetterLevel(avoid: BalancerEndpoint<T> | undefined, nowMs: number): BalancerEndpoint<T> | undefined {
    this.#trialAtMs = nowMs + this.#limits.trialIntervalMs;
    const betterLevels = this.#level;
    for (let tries = 0; tries < betterLevels; tries++) {
      const trial = this.#trials++;
      const level = this.#levels[trial % betterLevels] as Level<BalancerEndpoint<T>>;
      const found = anotherOf(level, Math.floor(trial / betterLevels), avoid, false, nowMs);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The one endpoint of a level failed this call: another priority takes it, where one works. */
  #pickBeside(avoid: BalancerEndpoint<T>, nowMs: number): BalancerEndpoint<T> {
    for (const level of this.#levels) {
      const found = anotherOf(level, this.#context.random.below(level.length), avoid, true, nowMs);
      if (found !== undefined) return found;
    }
    return avoid;
  }

  #staysLocal(hint: PickHint<BalancerEndpoint<T>> | undefined): boolean {
    // What an attempt here failed of may be the whole zone's.
    const { avoid } = hint ?? {};
    if (avoid !== undefined && avoid.zone === this.#zone) return false;
    return this.#localShare >= 1 || this.#context.random.next() < this.#localShare;
  }

  /** @param latencyMs `undefined`: how long the call took says nothing of the endpoint */
  succeeded(
    endpoint: BalancerEndpoint<T>,
    latencyMs: number | undefined,
    nowMs: number = this.#context.clock.now(),
  ): void {
    const wasFailing = this.#levels.length > 1 && endpoint.load.isFailing(nowMs);
    const wasPenalised = endpoint.load.isPenalised(nowMs);
    endpoint.load.succeeded(nowMs, latencyMs);
    if (wasPenalised) this.#reckonShare(nowMs);
    if (this.#ejection !== undefined) endpoint.outlier.succeeded(nowMs);
    if (wasFailing) this.#changeLevel(nowMs);
  }

  /**
   * A call failed through the endpoint's fault.
   * @param pushbackMs how long the server asked to be left alone
   * @param cause one object for all calls that failed by one event, such as the loss of their connection
   */
  failed(
    endpoint: BalancerEndpoint<T>,
    latencyMs: number,
    pushbackMs = 0,
    cause?: unknown,
    nowMs: number = this.#context.clock.now(),
  ): void {
    const counts = endpoint.load.failed(nowMs, latencyMs, pushbackMs, cause);
    this.#reckonShare(nowMs);
    if (!counts) return;
    // One that has left the list is left out already.
    if (this.#endpoints.get(endpoint.key) !== endpoint) return;
    if (this.#levels.length > 1) this.#changeLevel(nowMs);
    if (this.#ejection === undefined || !endpoint.outlier.failed(nowMs) || !this.#mayEject(endpoint, nowMs)) return;
    const forMs = endpoint.outlier.eject(nowMs);
    const { target } = this.#context;
    const event: EndpointEjected = { type: "balancing.endpoint.ejected", target, endpoint: endpoint.key, forMs };
    this.#observer.emit(event);
    this.#refresh(nowMs);
  }

  /** Another process answers at the endpoint's address now: its statistics begin anew, with a slow start. */
  restarted(endpoint: BalancerEndpoint<T>): void {
    const nowMs = this.#context.clock.now();
    endpoint.load.restart(nowMs);
    endpoint.outlier.restart();
    this.#refresh(nowMs);
  }

  endpoints(): readonly EndpointView[] {
    return this.#used.map(endpoint => this.view(endpoint));
  }

  /** One endpoint as it is now. */
  view(endpoint: BalancerEndpoint<T>): EndpointView {
    const { key, weight, zone, priority, load } = endpoint;
    const nowMs = this.#context.clock.now();
    const latencyMs = load.costMs(nowMs);
    const isKnown = latencyMs >= 0 && !load.isPenalised(nowMs);
    const state = this.#state(endpoint, nowMs);
    const { pending } = load;
    return { address: key, weight, zone, priority, state, pending, latencyMs: isKnown ? latencyMs : undefined };
  }

  #state(endpoint: BalancerEndpoint<T>, nowMs: number): EndpointState {
    if (!endpoint.isReady) return "not_ready";
    if (!this.#used.includes(endpoint)) return "unused";
    if (endpoint.outlier.isEjected(nowMs)) return "ejected";
    if (endpoint.load.isPenalised(nowMs)) return "penalised";
    return this.#levels[this.#level]?.includes(endpoint) === true ? "ready" : "standby";
  }

  /** Of each priority one stays at least: failover leaves it out as well, and finds out sooner when it works again. */
  #mayEject(endpoint: BalancerEndpoint<T>, nowMs: number): boolean {
    const level = this.#levels.find(all => all.includes(endpoint)) ?? [];
    const ejected = level.filter(({ outlier }) => outlier.isEjected(nowMs)).length;
    const shareMax = (this.#ejection ?? ejectionLimits).shareMax;
    return level.length > 1 && ejected < Math.max(1, Math.floor(level.length * shareMax));
  }

  /** After an outcome: another priority may have its turn. */
  #changeLevel(nowMs: number): void {
    if (levelInUse(this.#levels, nowMs) !== this.#level) this.#refresh(nowMs);
  }

  #enterLevel(level: number, nowMs: number): void {
    if (this.#level === 0) this.#trialAtMs = nowMs + this.#limits.trialIntervalMs;
    const from = this.#levels[this.#level]?.[0]?.priority;
    const to = this.#levels[level]?.[0]?.priority;
    this.#level = level;
    if (from === undefined || to === undefined || from === to) return;
    const event: PriorityChanged = { type: "balancing.priority", target: this.#context.target, from, to };
    this.#observer.emit(event);
  }

  /** Chooses anew which endpoints take calls. */
  #refresh(nowMs: number): void {
    this.#nextReturnMs = Number.POSITIVE_INFINITY;
    for (const { load, outlier } of this.#used) {
      const untilMs = outlier.ejectedUntilMs;
      if (untilMs > nowMs) this.#nextReturnMs = Math.min(this.#nextReturnMs, untilMs);
      else if (untilMs > 0) outlier.returned(load, nowMs);
      if (this.#levels.length > 1 && load.isFailing(nowMs)) {
        this.#nextReturnMs = Math.min(this.#nextReturnMs, load.penalisedUntilMs);
      }
    }
    const level = levelInUse(this.#levels, nowMs);
    if (level !== this.#level) this.#enterLevel(level, nowMs);
    const used = this.#levels[level] ?? [];
    let usable = used.filter(endpoint => mayTakeCalls(endpoint, nowMs));
    const panicShare = (this.#ejection ?? ejectionLimits).panicShare;
    const isPanicking = used.length > 0 && usable.length < used.length * panicShare;
    if (isPanicking !== this.#isPanicking) {
      this.#isPanicking = isPanicking;
      const { target } = this.#context;
      const counts = { usable: usable.length, endpoints: used.length };
      const event: PanicChanged = { type: "balancing.panic", target, isPanicking, ...counts };
      this.#observer.emit(event);
    }
    if (isPanicking) usable = [...used];
    this.#reviewAtMs = Number.POSITIVE_INFINITY;
    // A key's endpoint must not depend on who calls.
    this.#split = splitByZone(this.#rule === "ring_hash" ? undefined : this.#zone, used, usable);
    this.#local = this.#picker(this.#split.local);
    this.#remote = this.#picker(this.#split.remote);
    this.#reckonShare(nowMs);
  }

  #reckonShare(nowMs: number): void {
    if (this.#local === undefined) return;
    this.#localShare = localShareOf(this.#split, nowMs);
    this.#reviewAtMs = reviewAtMs(this.#split, nowMs);
  }

  /** An endpoint of the zone that is due for a trial call: others may not go there at all. */
  #review(nowMs: number, avoid: BalancerEndpoint<T> | undefined): BalancerEndpoint<T> | undefined {
    const trial = this.#split.local.find(endpoint => endpoint !== avoid && endpoint.load.takeTrial(nowMs));
    this.#reckonShare(nowMs);
    return trial;
  }

  #picker(endpoints: readonly BalancerEndpoint<T>[]): Picker<BalancerEndpoint<T>> | undefined {
    return endpoints.length === 0 ? undefined : pickers[this.#rule](endpoints, this.#context.random);
  }
}
