/** True for two identical types. any and unknown are equal to themselves only. */
export type Equal<One, Other> =
  (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false;

/** Compiles for true only. */
export type Holds<Statement extends true> = Statement;
