// Runs in the browser, in the head of the GraphiQL page. GraphiQL 5 stores its tabs, but stores the current query and variables
// only after an edit. If these do not match a tab at the start, it adds one, so each opened link would add a tab "<untitled>".
(() => {
  if (new URLSearchParams(location.search).has('query')) return;
  try {
    const { tabs, activeTabIndex } = JSON.parse(localStorage.getItem('graphiql:tabState')) ?? {};
    const tab = tabs?.[activeTabIndex];
    if (!tab) return;
    for (const name of ['query', 'variables']) {
      if (tab[name]) localStorage.setItem(`graphiql:${name}`, tab[name]);
      else localStorage.removeItem(`graphiql:${name}`);
    }
  } catch {
    // Storage is blocked or has other content: GraphiQL starts with its own defaults.
  }
})();
