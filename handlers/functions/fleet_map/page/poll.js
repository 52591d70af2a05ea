// Asks again and again: often while somebody looks and it works, seldom otherwise.

const PACE = 5_000;
const HIDDEN_PACE = 60_000;
const LONGEST = 60_000;

/** Without news for this long, what is shown is old. */
const STALE = 15_000;

export class Poll {
  /** `ask()` fetches and shows; `report(state, age)` tells how that goes: `live` or `stale`, and since when. */
  constructor(ask, report) {
    Object.assign(this, { ask, report });
    this.failures = 0;
    this.last = null;
    this.timer = null;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.now();
    });
    window.addEventListener("online", () => this.now());
    setInterval(() => this.tell(), 1_000);
  }

  /** Asks at once; whatever was planned is put off. */
  now() {
    if (this.asking) return;
    clearTimeout(this.timer);
    this.asking = this.once().finally(() => {
      this.asking = null;
      this.timer = setTimeout(() => this.now(), this.pause());
    });
  }

  async once() {
    try {
      await this.ask();
      this.failures = 0;
      this.last = Date.now();
    } catch {
      this.failures += 1;
    }
    this.tell();
  }

  pause() {
    if (document.hidden) return HIDDEN_PACE;
    if (this.failures === 0) return PACE;
    // Not all screens of a control room at once.
    const spread = 0.75 + Math.random() / 2;
    return Math.min(LONGEST, PACE * 2 ** (this.failures - 1)) * spread;
  }

  tell() {
    if (this.last === null) {
      if (this.failures > 0) this.report("stale", null);
      return;
    }
    const age = Date.now() - this.last;
    this.report(age > STALE ? "stale" : "live", age);
  }
}
