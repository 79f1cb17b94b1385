/**
 * The engine's C functions. They are called directly, and not through the package's wrapper, because the wrapper writes
 * every engine warning to the console and allocates for every value read.
 */
export interface Engine {
  readonly HEAPF64: Float64Array;
  readonly FS: {
    writeFile(path: string, text: string): void;
    readFile(path: string, as: { encoding: 'utf8' }): string;
  };
  allocateUTF8(text: string): number;
  getValue(pointer: number, type: 'i32' | 'double'): number;
  UTF8ToString(pointer: number): string;
  _malloc(bytes: number): number;
  _free(pointer: number): void;
  _EN_createproject(handle: number): number;
  _EN_deleteproject(project: number): number;
  _EN_open(project: number, input: number, report: number, output: number): number;
  _EN_close(project: number): number;
  _EN_setreport(project: number, command: number): number;
  _EN_geterror(code: number, text: number, length: number): number;
  _EN_getcount(project: number, what: number, out: number): number;
  _EN_settimeparam(project: number, what: number, value: number): number;
  _EN_gettimeparam(project: number, what: number, out: number): number;
  _EN_deletecontrol(project: number, index: number): number;
  _EN_deleterule(project: number, index: number): number;
  _EN_openH(project: number): number;
  _EN_initH(project: number, flag: number): number;
  _EN_runH(project: number, out: number): number;
  _EN_nextH(project: number, out: number): number;
  _EN_closeH(project: number): number;
  _EN_getnodeindex(project: number, id: number, out: number): number;
  _EN_getnodetype(project: number, index: number, out: number): number;
  _EN_getnodevalue(project: number, index: number, property: number, out: number): number;
  _EN_getnodevalues(project: number, property: number, out: number): number;
  _EN_setnodevalue(project: number, index: number, property: number, value: number): number;
  _EN_getlinkindex(project: number, id: number, out: number): number;
  _EN_getlinktype(project: number, index: number, out: number): number;
  _EN_getlinkvalue(project: number, index: number, property: number, out: number): number;
  _EN_getlinkvalues(project: number, property: number, out: number): number;
  _EN_setlinkvalue(project: number, index: number, property: number, value: number): number;
  _EN_getnodeid(project: number, index: number, out: number): number;
  _EN_getlinkid(project: number, index: number, out: number): number;
  _EN_getlinknodes(project: number, index: number, from: number, to: number): number;
  _EN_getnumdemands(project: number, node: number, out: number): number;
  _EN_getbasedemand(project: number, node: number, category: number, out: number): number;
  _EN_getdemandpattern(project: number, node: number, category: number, out: number): number;
  _EN_getflowunits(project: number, out: number): number;
  _EN_getoption(project: number, option: number, out: number): number;
  _EN_getpatternindex(project: number, id: number, out: number): number;
  _EN_getpatternlen(project: number, index: number, out: number): number;
  _EN_getpatternvalue(project: number, index: number, period: number, out: number): number;
  _EN_setpattern(project: number, index: number, values: number, length: number): number;
  _EN_setpatternvalue(project: number, index: number, period: number, value: number): number;
}
