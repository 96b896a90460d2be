// An SMSC on node-smpp (npm: smpp 0.5.1), for TestInteropNodeSMPP: it accepts everything, sends a receipt for each
// submit_sm, by turns as TLVs and as text, and says on standard output what it read, one JSON object a line.
'use strict';
const smpp = require('smpp');

const say = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const hex = (octets) => octets.toString('hex');

// The octets of short_message as node-smpp cuts them out of the PDU, before it decodes them.
const decode = smpp.filters.message.decode;
smpp.filters.message.decode = function (value, skipUdh) {
  Object.defineProperty(this, 'octets', { value, enumerable: false });
  return decode.call(this, value, skipUdh);
};

let accepted = 0;

function submitted(session, pdu) {
  const id = `node-${++accepted}`;
  const { udh, message } = pdu.short_message;
  const header = udh ? pdu.octets.subarray(0, pdu.octets[0] + 1) : Buffer.alloc(0);
  const coder = pdu.data_coding === 8 ? smpp.encodings.UCS2 : smpp.encodings.ASCII; // its name for the GSM alphabet
  say({
    event: 'submit', id, sequence: pdu.sequence_number,
    source: [pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr].join('/'),
    destination: [pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr].join('/'),
    esmClass: pdu.esm_class, dataCoding: pdu.data_coding, registeredDelivery: pdu.registered_delivery,
    validity: pdu.validity_period ? `${Math.round((pdu.validity_period - Date.now()) / 1000)}s` : '', // a Date by now
    udh: hex(header), octets: hex(pdu.octets.subarray(header.length)), text: message, own: hex(coder.encode(message)),
    tlvs: Object.keys(pdu).filter((key) => key in smpp.tlvs || /^\d+$/.test(key)),
  });
  session.send(pdu.response({ message_id: id }));
  const receipt = {
    source_addr_ton: pdu.dest_addr_ton, source_addr_npi: pdu.dest_addr_npi, source_addr: pdu.destination_addr,
    dest_addr_ton: pdu.source_addr_ton, dest_addr_npi: pdu.source_addr_npi, destination_addr: pdu.source_addr,
    esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
  };
  if (accepted % 2) {
    receipt.receipted_message_id = id;
    receipt.message_state = smpp.MESSAGE_STATE.DELIVERED;
  } else {
    receipt.short_message = `id:${id} sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:`;
  }
  session.deliver_sm(receipt, (answer) => say({ event: 'acknowledged', id, status: answer.command_status }));
}

const server = smpp.createServer((session) => {
  session.on('bind_transceiver', (pdu) => {
    say({
      event: 'bind', systemID: pdu.system_id, password: pdu.password, interfaceVersion: pdu.interface_version,
    });
    session.send(pdu.response({ system_id: 'node-smpp', sc_interface_version: 0x34 }));
  });
  session.on('submit_sm', (pdu) => submitted(session, pdu));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    say({ event: 'unbind' });
    session.send(pdu.response());
  });
  session.on('unknown', (pdu) => say({ event: 'unknown', status: pdu.command_id }));
  session.on('error', (error) => say({ event: 'error', text: String(error) }));
  session.on('close', () => say({ event: 'close' }));
});
server.listen(0, '127.0.0.1', () => say({ event: 'listening', port: server.address().port }));
