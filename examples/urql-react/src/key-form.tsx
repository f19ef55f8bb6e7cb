import { useState } from 'react';

export const KeyForm = ({ onEnter, problem }: { onEnter: (key: string) => void; problem?: string }) => {
  const [key, setKey] = useState('');
  return (
    <form
      className="card key-form"
      onSubmit={(event) => {
        event.preventDefault();
        onEnter(key.trim());
      }}
    >
      <h1>Exports</h1>
      <label>
        API key
        <input
          type="password"
          autoComplete="off"
          autoFocus
          required
          value={key}
          aria-describedby="about-key"
          onChange={(event) => setKey(event.target.value)}
        />
        {problem !== undefined && (
          <span className="problem" role="alert">
            {problem}
          </span>
        )}
      </label>
      <p id="about-key" className="hint">
        A key with the scope JOBS. It is stored until you close this tab. In local mode, the key is in .sluice/api-key.
      </p>
      <button type="submit">Open</button>
    </form>
  );
};
