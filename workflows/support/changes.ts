/** Counts changes of a state, so that a wait notices those that happen while it waits. */
export class Changes {
  private count = 0;

  /** Records a change. */
  record(): void {
    this.count++;
  }

  /** Returns a function that returns true when a change was recorded since this call. */
  watch(): () => boolean {
    const seenCount = this.count;
    return () => this.count !== seenCount;
  }
}
