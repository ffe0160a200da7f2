/** Of package.json, put in when the page is built. */
declare const __VERSION__: string;
/** Address of the repository; empty where package.json names none. */
declare const __SOURCE_URL__: string;
/** Address of the documentation where it is built beside the page; else empty. */
declare const __DOCS_URL__: string;
