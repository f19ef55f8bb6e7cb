// Runs in the browser, in the head of the GraphiQL page. Removes the API key from the URL before any other script runs, stores it
// in sessionStorage (for one browser tab, until the tab is closed), and adds it to the requests of GraphiQL. GraphiQL does not
// see the key, so its history and tabs in localStorage cannot contain it.
(() => {
  const STORED = 'sluice.key';
  const WHO_AM_I = '{ viewer { accountName key { name scopes } } }';

  // In localStorage: the time of the last sign-out. In sessionStorage: that time when the key was stored. The console uses the same names.
  const SIGNED_OUT = 'sluice.signedOut';

  let key = null;
  /** Whether the key of another tab is accepted. */
  let isAsking = false;
  /** The number of the newest check of a key. A sign-out and "Forget key" increase it too, so that earlier checks have no effect. */
  let checks = 0;

  const keep = (given) => {
    key = given;
    try {
      sessionStorage.removeItem(STORED);
      sessionStorage.removeItem(SIGNED_OUT);
      if (given === null) return;
      const last = localStorage.getItem(SIGNED_OUT);
      if (last !== null) sessionStorage.setItem(SIGNED_OUT, last);
      sessionStorage.setItem(STORED, given);
    } catch {
      // Storage is blocked: the key is kept until the page is closed.
    }
  };

  /** Whether a tab signed out after this one stored its key. */
  const wasSignedOut = () => {
    try {
      const last = localStorage.getItem(SIGNED_OUT);
      return last !== null && last !== sessionStorage.getItem(SIGNED_OUT);
    } catch {
      // Storage is blocked, see above.
      return false;
    }
  };

  /** Returns the key of the tab. Removes it if the user signed out while the tab showed another page, which received no message. */
  const readStored = () => {
    if (wasSignedOut()) keep(null);
    try {
      return sessionStorage.getItem(STORED);
    } catch {
      // Storage is blocked, see above.
      return null;
    }
  };
  key = readStored();

  /** Removes the key from the URL and returns it. Returns null if there is none. */
  const takeFromAddress = () => {
    // A "+" in a fragment is a plus sign, not a space.
    const given = new URLSearchParams(location.hash.slice(1).replaceAll('+', '%2B')).get('key');
    if (given === null) return null;
    history.replaceState(history.state, '', location.pathname + location.search);
    return given.trim() || null;
  };
  const first = takeFromAddress();
  if (first !== null) keep(first);

  // Tabs of the origin, those of the console included, hand their key to new tabs, and are signed out together.
  const tabs = new BroadcastChannel(STORED);
  tabs.addEventListener('message', ({ data }) => {
    if (data.type === 'ask' && key !== null) tabs.postMessage({ type: 'key', key });
    else if (data.type === 'key' && isAsking) void check(data.key);
    else if (data.type === 'signOut') {
      isAsking = false;
      if (key !== null || isShown('checking')) forget();
    }
  });
  // The browser kept the page in memory, where it received no messages, and restores it.
  window.addEventListener('pageshow', ({ persisted }) => {
    if (persisted && key !== null && wasSignedOut()) forget();
  });

  // The content security policy of the page allows requests to this server only, so no other server receives the key.
  const send = window.fetch.bind(window);
  window.fetch = async (input, init) => {
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    // A key in the header editor of GraphiQL applies to that request only.
    if (headers.has('x-api-key') || headers.has('authorization')) return send(input, init);
    const sent = key;
    if (sent !== null) headers.set('x-api-key', sent);
    const response = await send(input, { ...init, headers });
    if (response.status === 401) refused(sent);
    return response;
  };

  /**
   * Returns the viewer of a key, 'refused' if the key is not valid, or null if the server rejects the query, for example because
   * it runs trusted documents only.
   */
  const readViewer = async (candidate) => {
    const response = await send(location.pathname, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': candidate },
      body: JSON.stringify({ query: WHO_AM_I }),
    });
    if (response.status === 401) return 'refused';
    const { data } = await response.json();
    return data?.viewer ?? null;
  };

  const NO_KEY = 'Operations need an API key. It stays in this browser tab.';
  const NOT_VALID = 'The server does not accept this API key.';
  let bar;
  const show = (state, message) => {
    if (!bar) return;
    bar.form.dataset.state = state;
    bar.message.textContent = message;
  };
  const isShown = (state) => bar?.form.dataset.state === state;

  function forget() {
    checks += 1;
    isAsking = false;
    keep(null);
    show('none', NO_KEY);
  }

  function refused(sent) {
    if (sent === null) {
      if (!isShown('refused')) show('needed', 'This operation needs an API key. Enter one here.');
    } else if (sent === key) {
      keep(null);
      show('refused', NOT_VALID);
    }
  }

  const check = async (candidate) => {
    checks += 1;
    const own = checks;
    isAsking = false;
    show('checking', 'Checking the API key …');
    let viewer;
    try {
      viewer = await readViewer(candidate);
    } catch (error) {
      if (own !== checks) return;
      // A header cannot contain every character, and the server may be unavailable.
      show(
        'refused',
        error instanceof TypeError ? 'The API key could not be sent. Check the key and the server.' : NOT_VALID,
      );
      return;
    }
    if (own !== checks) return;
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
        ? 'An API key is set for this browser tab.'
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
      forget();
      bar.input.focus();
    });
    if (key === null) {
      show('none', NO_KEY);
      isAsking = true;
      tabs.postMessage({ type: 'ask' });
    } else void check(key);
  });

  // The user opened a link with a key in a tab that already shows the page.
  window.addEventListener('hashchange', () => {
    const given = takeFromAddress();
    if (given !== null) void check(given);
  });
})();
