// Runs in the browser, in the head of the GraphiQL page: takes the key out of the address before anything else is loaded,
// keeps it in sessionStorage (one browser tab, gone when the tab is closed), and adds it to the requests of GraphiQL.
// GraphiQL itself never sees the key, so its history and tabs in localStorage cannot contain it.
(() => {
  const STORED = 'sluice.key';
  const WHO_AM_I = '{ viewer { accountName key { name scopes } } }';

  let key = null;
  try {
    key = sessionStorage.getItem(STORED);
  } catch {
    // Storage is blocked: the key lives as long as the page.
  }
  const keep = (given) => {
    key = given;
    try {
      if (given === null) sessionStorage.removeItem(STORED);
      else sessionStorage.setItem(STORED, given);
    } catch {
      // As above.
    }
  };

  /** Returns the key in the address, or null. */
  const takeFromAddress = () => {
    // A "+" in a fragment is a plus, not a blank.
    const given = new URLSearchParams(location.hash.slice(1).replaceAll('+', '%2B')).get('key');
    if (given === null) return null;
    history.replaceState(history.state, '', location.pathname + location.search);
    return given.trim() || null;
  };
  const first = takeFromAddress();
  if (first !== null) keep(first);

  // The policy of the page lets requests go to this server only, so the key goes nowhere else.
  const send = window.fetch.bind(window);
  window.fetch = async (input, init) => {
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    // A key from the editor of headers counts for that request alone.
    if (headers.has('x-api-key') || headers.has('authorization')) return send(input, init);
    const sent = key;
    if (sent !== null) headers.set('x-api-key', sent);
    const response = await send(input, { ...init, headers });
    if (response.status === 401) refused(sent);
    return response;
  };

  /** Asks the server whose key this is. Returns null if the server answers otherwise, e.g. runs trusted documents only. */
  const whoIs = async (candidate) => {
    const response = await send(location.pathname, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': candidate },
      body: JSON.stringify({ query: WHO_AM_I }),
    });
    if (response.status === 401) return 'refused';
    const { data } = await response.json();
    return data?.viewer ?? null;
  };

  const NO_KEY = 'Operations need a key. It stays in this browser tab.';
  const NOT_VALID = 'The server does not accept this key.';
  let bar;
  const show = (state, message) => {
    if (!bar) return;
    bar.form.dataset.state = state;
    bar.message.textContent = message;
  };
  const isRefusal = (state) => bar?.form.dataset.state === state;

  function refused(sent) {
    if (sent === null) {
      if (!isRefusal('refused')) show('needed', 'This operation needs a key: enter one here.');
    } else if (sent === key) {
      keep(null);
      show('refused', NOT_VALID);
    }
  }

  const check = async (candidate) => {
    show('checking', 'Checking the key ...');
    let viewer;
    try {
      viewer = await whoIs(candidate);
    } catch (error) {
      // A header cannot carry every character, and a server may be away.
      show('refused', error instanceof TypeError ? 'The key could not be sent. Check it, and the server.' : NOT_VALID);
      return;
    }
    if (viewer === 'refused') {
      if (candidate === key) keep(null);
      show('refused', NOT_VALID);
      return;
    }
    keep(candidate);
    bar.input.value = '';
    show(
      'set',
      viewer === null
        ? 'A key is set for this browser tab.'
        : `Account ${viewer.accountName}, key "${viewer.key.name}" (${viewer.key.scopes.join(', ')})`,
    );
  };

  document.addEventListener('DOMContentLoaded', () => {
    const form = document.querySelector('#key-bar');
    bar = { form, input: form.querySelector('input'), message: form.querySelector('output') };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const candidate = bar.input.value.trim();
      if (candidate === '') bar.input.focus();
      else void check(candidate);
    });
    form.querySelector('button[type=button]').addEventListener('click', () => {
      keep(null);
      show('none', NO_KEY);
      bar.input.focus();
    });
    if (key === null) show('none', NO_KEY);
    else void check(key);
  });

  // Somebody opens a link with a key in a tab that shows the page already.
  window.addEventListener('hashchange', () => {
    const given = takeFromAddress();
    if (given !== null) void check(given);
  });
})();
