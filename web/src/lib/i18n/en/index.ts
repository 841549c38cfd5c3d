// English, composed of a file for each page. Its shape is the dictionary's type: a key that is
// missing in ../zh/ does not compile.

import * as agents from './agents';
import * as alerts from './alerts';
import * as charts from './charts';
import * as common from './common';
import * as credentials from './credentials';
import * as data from './data';
import * as entrance from './entrance';
import { errorsEn } from './errors';
import * as events from './events';
import { fieldsEn } from './fields';
import * as fleet from './fleet';
import * as form from './form';
import * as imports from './imports';
import * as server from './server';
import * as settings from './settings';
import * as ssh from './ssh';

export const en = {
  name: 'English',
  ...common,
  ...entrance,
  ...fleet,
  ...server,
  ...charts,
  ...form,
  ...imports,
  ...agents,
  ...alerts,
  ...credentials,
  ...data,
  ...events,
  ...settings,
  ...ssh,
  errors: errorsEn,
  fields: fieldsEn,
};

export type Dict = typeof en;
