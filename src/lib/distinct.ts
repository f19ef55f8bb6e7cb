// Pure: items that are told apart by a text, each kept once.

export class Distinct<Item> {
  /** In the order in which they came. */
  readonly items: Item[] = [];
  readonly #indexes = new Map<string, number>();

  /** The index of the item of this name, which is kept where there is none yet. */
  indexOf(name: string, item: Item): number {
    let index = this.#indexes.get(name);
    if (index === undefined) {
      index = this.items.push(item) - 1;
      this.#indexes.set(name, index);
    }
    return index;
  }
}
