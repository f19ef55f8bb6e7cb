// Runs in the browser, in the head of the GraphiQL page. GraphiQL 5 stores its tabs, but the query and the variables that it
// starts with only after an edit. When they match no tab, it opens an empty one: each printed link would add "<untitled>".
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
    // Storage is blocked, or holds something else: GraphiQL starts as it does.
  }
})();
