import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from '@mantine/core';

/** The one accent colour. Shade 7 has a contrast of 5.6 with white. */
const ACCENT: MantineColorsTuple = [
  '#e6f5f9',
  '#d3e7ee',
  '#a5cedb',
  '#74b4c7',
  '#4d9fb7',
  '#3492ad',
  '#218ba9',
  '#0b6e8f',
  '#055e7c',
  '#00506a',
];

/** Fields whose texts have the size of the page, and which are easy to touch. */
const INPUTS = [
  'Autocomplete',
  'Checkbox',
  'CheckboxGroup',
  'MultiSelect',
  'NativeSelect',
  'NumberInput',
  'PasswordInput',
  'Radio',
  'RadioGroup',
  'SegmentedControl',
  'Select',
  'Switch',
  'TagsInput',
  'Textarea',
  'TextInput',
];

/** Four sizes of text: 13, 15, 18 and 24 px. */
export const THEME = createTheme({
  colors: { accent: ACCENT },
  primaryColor: 'accent',
  primaryShade: { light: 7, dark: 7 },
  fontFamily: 'system-ui, sans-serif',
  fontFamilyMonospace: 'ui-monospace, monospace',
  fontSizes: { xs: '13px', sm: '13px', md: '15px', lg: '18px', xl: '24px' },
  headings: {
    fontFamily: 'system-ui, sans-serif',
    fontWeight: '600',
    sizes: {
      h1: { fontSize: '24px', lineHeight: '1.3' },
      h2: { fontSize: '18px', lineHeight: '1.4' },
      h3: { fontSize: '18px', lineHeight: '1.4' },
      h4: { fontSize: '15px', lineHeight: '1.5' },
    },
  },
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  components: Object.fromEntries(INPUTS.map((name) => [name, { defaultProps: { size: 'md' } }])),
});

/** Colours of texts with a contrast of at least 4.5 on their ground. */
export const resolveColours: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#566270',
    '--mantine-color-error': '#b42318',
    '--mantine-color-red-filled': '#b42318',
    '--mantine-color-red-filled-hover': '#912018',
    '--mantine-color-red-light': '#fdecea',
    '--mantine-color-red-light-color': '#97180c',
    '--mantine-color-green-light': '#e6f4ea',
    '--mantine-color-green-light-color': '#1a5e2a',
    '--mantine-color-orange-light': '#fdf1e2',
    '--mantine-color-orange-light-color': '#874000',
    '--mantine-color-gray-light': '#eef1f4',
    '--mantine-color-gray-light-color': '#45505c',
    '--mantine-color-accent-light': '#e6f5f9',
    '--mantine-color-accent-light-color': '#055e7c',
    '--page-ground': '#f7f9fa',
  },
  dark: {
    '--mantine-color-dimmed': '#a7b0ba',
    '--mantine-color-error': '#ff9b91',
    '--mantine-color-anchor': '#74b4c7',
    '--mantine-color-red-filled': '#b42318',
    '--mantine-color-red-filled-hover': '#912018',
    '--mantine-color-red-light': '#3d2220',
    '--mantine-color-red-light-color': '#ffada5',
    '--mantine-color-green-light': '#1c3323',
    '--mantine-color-green-light-color': '#8fd6a0',
    '--mantine-color-orange-light': '#3a2a17',
    '--mantine-color-orange-light-color': '#f5bd79',
    '--mantine-color-gray-light': '#33383d',
    '--mantine-color-gray-light-color': '#c5ccd3',
    '--mantine-color-accent-light': '#17323b',
    '--mantine-color-accent-light-color': '#8cc6d7',
    '--page-ground': '#1b1d20',
  },
});
