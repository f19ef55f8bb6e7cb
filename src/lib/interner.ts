// Pure: numbers distinct items by their keys.

export class Interner<Item> {
  /** Distinct items in the order in which they were added. */
  readonly items: Item[] = [];
  readonly #indexes = new Map<string, number>();

  /** Returns the index of the item with this key, which is added if there is none. */
  intern(key: string, item: Item): number {
    let index = this.#indexes.get(key);
    if (index === undefined) {
      index = this.items.push(item) - 1;
      this.#indexes.set(key, index);
    }
    return index;
  }
}
