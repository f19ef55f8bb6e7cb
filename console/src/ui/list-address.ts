import { useLocation, useNavigate, useSearchParams } from 'react-router';

/** Parameters of a list that its address contains, so that it can be shared and reloaded. */
export interface ListAddress {
  /** Search text; empty if there is none. */
  readonly search: string;
  /** Cursor of the page; null for the first page. */
  readonly after: string | null;
  /** Sets a parameter of the address, such as a filter, and returns to the first page. Null and '' remove it. */
  readonly set: (name: string, value: string | null) => void;
  readonly read: (name: string) => string | null;
  readonly toNext: (endCursor: string) => void;
  /** Null on the first page. */
  readonly toPrevious: (() => void) | null;
}

interface Trail {
  /** Cursors of the pages before this one. */
  readonly trail?: readonly string[];
}

/** Keeps search, filters and the page of a list in the address. */
export function useListAddress(): ListAddress {
  const [parameters, setParameters] = useSearchParams();
  const navigate = useNavigate();
  const { state } = useLocation();
  const trail = (state as Trail | null)?.trail ?? [];
  const after = parameters.get('after');
  const toPage = (cursor: string | null, trail: readonly string[]): void => {
    const next = new URLSearchParams(parameters);
    if (cursor === null) next.delete('after');
    else next.set('after', cursor);
    void navigate({ search: next.toString() }, { state: { trail } satisfies Trail });
  };
  return {
    search: parameters.get('search') ?? '',
    after,
    read: (name) => parameters.get(name),
    set: (name, value) =>
      setParameters(
        (before) => {
          const next = new URLSearchParams(before);
          next.delete('after');
          if (value === null || value === '') next.delete(name);
          else next.set(name, value);
          return next;
        },
        { replace: true },
      ),
    toNext: (endCursor) => toPage(endCursor, after === null ? trail : [...trail, after]),
    // A page that was opened by its address has no trail: the first page is before it.
    toPrevious: after === null ? null : () => toPage(trail.at(-1) ?? null, trail.slice(0, -1)),
  };
}
