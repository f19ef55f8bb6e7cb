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

export interface Address {
  readonly parameters: URLSearchParams;
  /** Sets parameters of the address. Null removes one; a list sets one several times. */
  readonly change: (changes: Readonly<Record<string, string | readonly string[] | null>>) => void;
}

/** Returns the parameters of the address, for choices that can be shared and reloaded. */
export function useAddress(): Address {
  const [parameters, setParameters] = useSearchParams();
  return {
    parameters,
    change: (changes) => {
      // The address of the browser: `parameters` are those of the last rendering, and lack a change just before this one.
      const next = new URLSearchParams(window.location.search);
      for (const [name, value] of Object.entries(changes)) {
        next.delete(name);
        for (const one of value === null ? [] : [value].flat()) next.append(name, one);
      }
      setParameters(next, { replace: true });
    },
  };
}

/** Keeps search, filters and the page of a list in the address. */
export function useListAddress(): ListAddress {
  const { parameters, change } = useAddress();
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
    set: (name, value) => change({ after: null, [name]: value === '' ? null : value }),
    toNext: (endCursor) => toPage(endCursor, after === null ? trail : [...trail, after]),
    // A page that was opened by its address has no trail: the first page is before it.
    toPrevious: after === null ? null : () => toPage(trail.at(-1) ?? null, trail.slice(0, -1)),
  };
}
