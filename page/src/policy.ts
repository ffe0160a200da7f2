// Imported first: the page connects to nothing but its own files, and to the server that a link names.
import { linkedModel } from './link.js';

function originOf(): string {
  try {
    return linkedModel(location.hash)?.origin ?? '';
  } catch {
    // The page says what is wrong with it.
    return '';
  }
}

// A second policy can only narrow the one in the page: both hold.
const policy = document.createElement('meta');
policy.httpEquiv = 'Content-Security-Policy';
policy.content = `connect-src 'self' ${originOf()}`.trim();
if (import.meta.env.PROD) document.head.append(policy);
