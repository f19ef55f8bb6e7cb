/** True for two types that are the very same; any is equal to nothing else here, and neither is unknown. */
export type Equal<One, Other> =
  (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false;

/** Does not compile for anything but true. */
export type Holds<Statement extends true> = Statement;
