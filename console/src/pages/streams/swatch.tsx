interface SwatchProps {
  readonly index: number;
  readonly isOthers: boolean;
}

/** The colour of a group with its number. */
export function Swatch({ index, isOthers }: SwatchProps) {
  return (
    <span className="swatch" data-series={isOthers ? 'others' : index} aria-hidden="true">
      {isOthers ? '…' : index + 1}
    </span>
  );
}
