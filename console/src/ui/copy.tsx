import { ActionIcon, Button, Code, Group } from '@mantine/core';
import { useState } from 'react';

const SHOWN_MS = 2000;

/** Copies a text. Pages served over plain HTTP have no clipboard API, so a selection is copied there. */
export async function copyText(text: string): Promise<boolean> {
  if (navigator.clipboard !== undefined) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.style.position = 'fixed';
  // Inside an open dialog, because its focus trap takes the focus from elements outside of it.
  (document.querySelector('[role="dialog"]') ?? document.body).append(area);
  area.select();
  const isCopied = document.execCommand('copy');
  area.remove();
  return isCopied;
}

function useCopy(text: string) {
  const [state, setState] = useState<'idle' | 'copied' | 'failed'>('idle');
  const copy = async (): Promise<void> => {
    setState((await copyText(text)) ? 'copied' : 'failed');
    setTimeout(() => setState('idle'), SHOWN_MS);
  };
  return { state, copy };
}

interface CopyProps {
  readonly text: string;
  /** What is copied, such as `key` or `SHA-256`: the button is named after it. */
  readonly name: string;
}

/** Two sheets. Few fonts have a character for it. */
function CopySign() {
  return (
    <svg
      width="14"
      height="14"
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      aria-hidden="true"
    >
      <rect x="5.5" y="5.5" width="8.5" height="8.5" rx="1.5" />
      <path d="M10.5 5.5V3.5A1.5 1.5 0 0 0 9 2H3.5A1.5 1.5 0 0 0 2 3.5V9a1.5 1.5 0 0 0 1.5 1.5h2" />
    </svg>
  );
}

/** A button that copies a text. */
export function CopyButton({ text, name }: CopyProps) {
  const { state, copy } = useCopy(text);
  const words = { idle: `Copy ${name}`, copied: 'Copied', failed: 'Select it and press Ctrl-C' };
  return (
    <Button variant="default" onClick={() => void copy()}>
      <span aria-live="polite">{words[state]}</span>
    </Button>
  );
}

/** A text in a fixed-width font with a small button that copies it, for ids, object keys and SHA-256. `shown` defaults to the text. */
export function CopyableText({ text, name, shown = text }: CopyProps & { readonly shown?: string }) {
  const { state, copy } = useCopy(text);
  const label = state === 'copied' ? `Copied ${name}` : `Copy ${name}`;
  return (
    <Group gap={4} wrap="nowrap" className="copyable">
      <Code title={text}>{shown}</Code>
      <ActionIcon variant="subtle" color="gray" size="sm" onClick={() => void copy()} aria-label={label} title={label}>
        {state === 'copied' ? '✓' : <CopySign />}
      </ActionIcon>
    </Group>
  );
}
