import { Button, Group, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useEffect, useRef, useState } from 'react';
import type { ListAddress } from './list-address.ts';

const TYPING_MS = 250;

interface SearchProps {
  readonly list: ListAddress;
  /** What the list contains, such as `jobs`. */
  readonly what: string;
}

/** The search field of a list. Its text is in the address. */
export function Search({ list, what }: SearchProps) {
  const [text, setText] = useState(list.search);
  const applied = useRef(list.search);
  const apply = useDebouncedCallback((value: string) => {
    applied.current = value.trim();
    list.set('search', applied.current);
  }, TYPING_MS);
  // The field follows a link or the back button. After its own change of the address, the user may already have typed more.
  useEffect(() => {
    if (list.search === applied.current) return;
    applied.current = list.search;
    setText(list.search);
  }, [list.search]);
  return (
    <TextInput
      type="search"
      aria-label={`Search ${what}`}
      placeholder={`Search ${what}`}
      value={text}
      onChange={({ currentTarget: { value } }) => {
        setText(value);
        apply(value);
      }}
      className="search"
    />
  );
}

interface PagerProps {
  readonly list: ListAddress;
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

/** Buttons to the previous and next page of a list. Renders nothing if the list has one page. */
export function Pager({ list, pageInfo: { hasNextPage, endCursor } }: PagerProps) {
  if (!hasNextPage && list.toPrevious === null) return null;
  return (
    <Group component="nav" gap="xs" aria-label="Pages">
      <Button variant="default" disabled={list.toPrevious === null} onClick={() => list.toPrevious?.()}>
        Previous page
      </Button>
      <Button
        variant="default"
        disabled={!hasNextPage || endCursor === null}
        onClick={() => endCursor !== null && list.toNext(endCursor)}
      >
        Next page
      </Button>
    </Group>
  );
}
