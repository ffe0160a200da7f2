/** Where the documentation is: beside the page where the site was built, else at the source. */
function addressOf(name: string): string {
  if (__DOCS_URL__) return `${__DOCS_URL__}${name === 'README' ? '' : `${name.toLowerCase()}.html`}`;
  return name === 'README' ? `${__SOURCE_URL__}#readme` : `${__SOURCE_URL__}/blob/main/docs/${name}.md`;
}

/** Where the code and the documentation are, settled when the page is built. */
export function Footer() {
  return (
    <footer class="footer small muted">
      <span>bitnibble {__VERSION__}, MIT licence</span>
      {(__DOCS_URL__ || __SOURCE_URL__) && (
        <nav aria-label="bitnibble">
          <a href={addressOf('README')}>{__DOCS_URL__ ? 'Documentation' : 'README'}</a>
          <a href={addressOf('PAGE')}>How this page works</a>
          <a href={addressOf('RUNTIME')}>What runs</a>
          <a href={addressOf('FORMAT')}>The file format</a>
          {__DOCS_URL__ && <a href={`${__DOCS_URL__}../api/`}>API</a>}
          {__SOURCE_URL__ && <a href={__SOURCE_URL__}>Source</a>}
        </nav>
      )}
    </footer>
  );
}
