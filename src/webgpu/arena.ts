/**
 * Packing tensors of known lifetimes into one buffer.
 *
 * @module
 */

/** A tensor as the packer sees it. */
export interface Lifetime {
  /** Elements. */
  readonly size: number;
  /** First launch that uses it. */
  readonly first: number;
  /** Last launch that uses it. */
  readonly last: number;
}

/**
 * Offsets such that tensors that are live at the same launch never overlap: the largest first, each
 * at the lowest offset that is free over its whole lifetime.
 */
export function assignOffsets(
  lifetimes: readonly Lifetime[],
): { readonly offsets: readonly number[]; readonly total: number } {
  const order = lifetimes.map((_, i) => i)
    .sort((a, b) =>
      lifetimes[b].size - lifetimes[a].size || lifetimes[a].first - lifetimes[b].first
    );
  const offsets = new Array<number>(lifetimes.length).fill(0);
  const placed: number[] = [];
  let total = 0;
  for (const i of order) {
    const { size, first, last } = lifetimes[i];
    const neighbours = placed
      .filter((j) => lifetimes[j].first <= last && first <= lifetimes[j].last)
      .sort((a, b) => offsets[a] - offsets[b]);
    let offset = 0;
    for (const j of neighbours) {
      if (offsets[j] - offset >= size) break;
      offset = Math.max(offset, offsets[j] + lifetimes[j].size);
    }
    offsets[i] = offset;
    placed.push(i);
    total = Math.max(total, offset + size);
  }
  return { offsets, total };
}
