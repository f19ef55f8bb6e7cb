import { TagsInput, type TagsInputProps } from '@mantine/core';
import { type KeyboardEvent, useState } from 'react';

const isSame = (value: string, values: string[]): boolean => values.includes(value);

/** Properties of an input of tags that takes commas as text, and that distinguishes upper from lower case. */
const AS_TYPED = { splitChars: [], isDuplicate: isSame };

/** An input of names, some of which are suggested. Spaces around a name are removed. */
export function NamesInput({ onChange, ...props }: TagsInputProps) {
  const trim = (names: string[]): void => onChange?.([...new Set(names.map((name) => name.trim()).filter(Boolean))]);
  return <TagsInput {...AS_TYPED} {...props} onChange={trim} />;
}

interface ValuesInputProps extends Omit<TagsInputProps, 'data' | 'searchValue' | 'onSearchChange'> {
  readonly value?: string[];
}

/** An input of values that are kept as the user types or pastes them: with commas, spaces and the case of each letter. */
export function ValuesInput({ value = [], onChange, ...props }: ValuesInputProps) {
  const [text, setText] = useState('');
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>): void => {
    if (text === '' || event.nativeEvent.isComposing) return;
    // Mantine would remove a tag, because it takes spaces for an empty text.
    if (event.key === 'Backspace') event.stopPropagation();
    // Mantine would remove the spaces around the text.
    if (event.key !== 'Enter') return;
    event.preventDefault();
    if (!isSame(text, value)) onChange?.([...value, text]);
    setText('');
  };
  return (
    <TagsInput
      {...AS_TYPED}
      {...props}
      value={value}
      onChange={onChange}
      searchValue={text}
      onSearchChange={setText}
      onKeyDown={onKeyDown}
      // Mantine would make a tag of the text at once. The browser inserts it.
      onPasteCapture={(event) => event.stopPropagation()}
    />
  );
}
