import { Stack, Text } from '@mantine/core';
import { type MouseEvent, useEffect, useMemo, useState } from 'react';
import { type LoaderFunctionArgs, useLoaderData, useNavigate } from 'react-router';
import { OUTLINE, PAGES } from 'virtual:docs';
import { copyText } from '../../ui/copy.tsx';
import { NotFound } from '../../ui/error-boundary.tsx';
import { type ListAddress, useListAddress } from '../../ui/list-address.ts';
import { Search } from '../../ui/list.tsx';
import { Page } from '../../ui/page.tsx';
import { Empty } from '../../ui/states.tsx';
import { TextLink } from '../../ui/text-link.tsx';
import { searchDocs } from './docs-search.ts';
import './docs.css';

const COPIED_MS = 2000;

interface LoadedPage {
  readonly path: string;
  /** Null if the page does not exist. */
  readonly html: string | null;
}

export async function loadDocsPage({ params }: LoaderFunctionArgs): Promise<LoadedPage> {
  const path = (params['*'] ?? '').replace(/\/$/, '');
  const load = Object.hasOwn(PAGES, path) ? PAGES[path] : undefined;
  return { path, html: load === undefined ? null : (await load()).html };
}

/** A page of the documentation, or its index with a search. The build renders them from docs/. */
export function DocsPage() {
  const { path, html } = useLoaderData<LoadedPage>();
  const entry = OUTLINE.find((each) => each.path === path);
  if (html === null || entry === undefined) return <NotFound />;
  if (path === '') return <DocsIndex html={html} />;
  const parts = entry.headings.filter(({ level }) => level === 2);
  return (
    <Page
      title={entry.title}
      parents={[{ title: 'Documentation', to: '/docs' }]}
      {...(entry.section === '' ? {} : { description: entry.section })}
    >
      {parts.length > 2 && (
        <nav aria-label="On this page" className="docs-headings">
          {parts.map(({ id, text }) => (
            <TextLink key={id} to={`/docs/${path}#${id}`}>
              {text}
            </TextLink>
          ))}
        </nav>
      )}
      <DocsText html={html} />
    </Page>
  );
}

function DocsIndex({ html }: { readonly html: string }) {
  const list = useListAddress();
  return (
    <Page title="Documentation" description="The pages of the version that this server runs.">
      <Search list={list} what="documentation" />
      {list.search === '' ? <DocsText html={html} /> : <DocsHits list={list} />}
    </Page>
  );
}

function DocsHits({ list: { search } }: { readonly list: ListAddress }) {
  const texts = useTexts();
  const hits = useMemo(() => searchDocs(OUTLINE, search, texts), [search, texts]);
  if (hits.length === 0) {
    return <Empty title="No page matches">No page of the documentation contains “{search}”.</Empty>;
  }
  return (
    <Stack component="ul" className="docs-hits" gap="md" aria-label="Pages found">
      {hits.map(({ path, title, section, headings, excerpt }) => (
        <li key={path}>
          <TextLink to={`/docs/${path}`}>{title}</TextLink>
          {section !== '' && (
            <Text span size="sm" c="dimmed">
              {' '}
              {section}
            </Text>
          )}
          {headings.map(({ id, text }) => (
            <Text key={id} size="sm">
              <TextLink to={`/docs/${path}#${id}`}>{text}</TextLink>
            </Text>
          ))}
          {excerpt !== null && (
            <Text size="sm" c="dimmed" className="breakable">
              {excerpt}
            </Text>
          )}
        </li>
      ))}
    </Stack>
  );
}

/** The texts of all pages. A search loads them; until then it finds titles and headings. */
function useTexts(): ReadonlyMap<string, string> {
  const [texts, setTexts] = useState<ReadonlyMap<string, string>>(new Map());
  useEffect(() => {
    let isShown = true;
    const loading = Object.entries(PAGES).map(async ([path, load]): Promise<[string, string]> => {
      const { body } = new DOMParser().parseFromString((await load()).html, 'text/html');
      return [path, (body.textContent ?? '').replace(/\s+/g, ' ')];
    });
    void Promise.all(loading).then((all) => isShown && setTexts(new Map(all)));
    return () => {
      isShown = false;
    };
  }, []);
  return texts;
}

/** Follows links of rendered pages within the console: their addresses are relative to its base address. */
function useFollow() {
  const navigate = useNavigate();
  return (event: MouseEvent<HTMLElement>): void => {
    const target = event.target as Element;
    const href = target.closest('a')?.getAttribute('href');
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!isPlain || href == null || !href.startsWith('docs')) return;
    event.preventDefault();
    void navigate(`/${href}`);
  };
}

function DocsText({ html }: { readonly html: string }) {
  const follow = useFollow();
  const inner = useMemo(() => ({ __html: html }), [html]);
  const onClick = (event: MouseEvent<HTMLElement>): void => {
    const button = (event.target as Element).closest<HTMLElement>('button.docs-copy');
    if (button === null) follow(event);
    else void copyBlock(button);
  };
  return <div className="docs-text" onClick={onClick} dangerouslySetInnerHTML={inner} />;
}

/** Copies the block that the button belongs to. The build inserts the buttons. */
async function copyBlock(button: HTMLElement): Promise<void> {
  const text = button.parentElement?.querySelector('pre')?.textContent ?? '';
  button.textContent = (await copyText(text)) ? 'Copied' : 'Select it and press Ctrl-C';
  setTimeout(() => {
    button.textContent = 'Copy';
  }, COPIED_MS);
}
