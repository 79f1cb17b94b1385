/** A tag: one named value of a plant. */
export interface Tag {
  readonly name: string;
  /** Engineering unit as written on the plant's screens: 'm', 'L/s', 'bar'; '' for a status. */
  readonly unit: string;
  readonly kind: 'analog' | 'status';
  /**
   * Smallest change that means anything, in the tag's own unit. Floors the scaler, so that a tag which never moved
   * in the normal data neither explodes nor vanishes when it first moves.
   */
  readonly resolution: number;
}
