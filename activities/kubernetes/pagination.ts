/** One page of a list, as the API server gives it. */
interface Page<T> {
  items: T[];
  metadata?: { _continue?: string };
}

/** So many objects of a list are asked for at a time. */
const pageSize = 500;

/** Which page of a list, as the parameters of a request for it. */
export interface PageOf {
  limit: number;
  _continue?: string;
}

/** Reads a list page by page. @param read reads one page; undefined where there is no such list. */
export async function allPages<T>(read: (which: PageOf) => Promise<Page<T> | undefined>): Promise<T[]> {
  const found: T[] = [];
  let from: string | undefined;
  do {
    const page = await read({ limit: pageSize, ...(from !== undefined && { _continue: from }) });
    found.push(...(page?.items ?? []));
    from = page?.metadata?._continue;
  } while (from !== undefined && from !== '');
  return found;
}
