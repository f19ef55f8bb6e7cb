import { Anchor } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';

interface TextLinkProps {
  readonly to: string;
  readonly className?: string;
  readonly children: ReactNode;
}

/** A link within the console, in a text or a table. */
export function TextLink(props: TextLinkProps) {
  return <Anchor component={Link} inherit {...props} />;
}
